"""Training of the lite pair: ``python -m compressai_vq.training``."""
