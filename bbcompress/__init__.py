"""Lossless image compression with variational autoencoders and bits-back ANS coding.

Layers, each importing only those below it: `cli`, `archive`, `images`, `codec`, `coding`, `exact`; and apart from
them `train` (the only one that imports torch) and `datasets`. See docs/DESIGN.md.
"""
