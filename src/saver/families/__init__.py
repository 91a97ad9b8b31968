"""The families: what Saver knows of each library, one folder each. `saver.family` is the contract."""
