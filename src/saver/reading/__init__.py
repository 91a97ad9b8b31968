"""Reads what trees contain without building objects. Families describe the trees that their codecs write."""
