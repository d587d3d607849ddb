"""Vectors in, vectors out: harvest, cache, mix, scale, encode."""
