"""Other people's still-picture codecs as real complete files, to be compared with ours.

A module for each codec, and each codec a :class:`~.still_picture.StillPictureCodec`. Nothing is
imported here: most of them need packages of the extra ``compressai-vq[baselines]``, or programs.
"""
