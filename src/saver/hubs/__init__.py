"""Hubs, each in a module named after the scheme of its addresses: see `saver.hub`."""
