"""Entropy coding: the rANS stack, and distributions quantised to integer intervals."""
