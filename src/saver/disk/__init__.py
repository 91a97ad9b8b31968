"""The one thin layer through which every byte reaches the disk and comes back, and where faults are
injected."""
