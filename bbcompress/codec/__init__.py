"""Bits-back coding of image chains with an exact VAE."""
