"""Training of the index prior."""
