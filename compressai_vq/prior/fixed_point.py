"""What the prior's integers stand for; the same for all weights, so that files need not say.

======================  ==========  =======================
quantity                one unit    range in units
======================  ==========  =======================
embedding (input)       2^-5        [-127, 127], int8
residual stream         2^-9        [-32767, 32767]
activation              2^-5        [0, 255], after ReLU
weight of a channel     2^-shift    [-127, 127], int8
logit                   2^-8 bits   [-2^23, 2^23]
======================  ==========  =======================
"""

from __future__ import annotations

EMBEDDING_BITS = 5
EMBEDDING_MAX = 127
STREAM_BITS = 9
STREAM_MAX = (1 << 15) - 1
ACTIVATION_BITS = 5
LOGIT_BITS = 8
LOGIT_MAX = 1 << 23
