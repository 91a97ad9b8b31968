"""Formats of other tools, a file each: each reads or writes data, and builds no objects."""
