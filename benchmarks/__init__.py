"""Saver against its peers and against the device's own limit: `python -m benchmarks`."""
