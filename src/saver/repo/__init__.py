"""Versions as documents and bytes. Knows no Python object."""
