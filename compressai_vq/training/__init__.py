"""Training of networks and codebooks: ``compressai-vq train``; of the index prior: ``.prior``."""
