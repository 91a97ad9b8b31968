"""Keys: files in the format of age (`age.py`), key files (`files.py`), where keys come from (`sources.py`),
and the keys of a sealed store with those who hold them (`holders.py`).

The packages `cryptography` and `pyrage` are imported when the first key is used.
"""
