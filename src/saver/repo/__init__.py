"""Versions as documents and bytes. Knows nothing of Python objects."""
