"""HiFiC (Mentzer et al., 2020, arXiv 2006.09965) as a codec of CompressAI's zoo.

Architecture and names of weights are those of the PyTorch reimplementation that most use,
https://github.com/Justin-Tan/high-fidelity-generative-compression (called "the reimplementation"
in this package), so that its checkpoints can be imported; no code is taken from it.
"""
