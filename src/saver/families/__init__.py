"""The families: what Saver knows about each library, one folder each. `saver.family` is the contract."""
