"""Images over links that lose packets: a file's index map in packets that each stand alone."""
