"""The index prior: an integer network that codes index maps with fewer bits than frequencies."""
