"""Seals: what is done to stored bytes. See `saver.seal`."""
