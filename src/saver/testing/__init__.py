"""Test classes shipped for plugin authors."""
