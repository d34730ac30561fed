"""What hooks into host tools, one package each; installed as ``compressai_vq.plugins``."""
