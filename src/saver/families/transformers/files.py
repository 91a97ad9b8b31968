"""The files that a tokenizer of SentencePiece was made of: what was in them is in the tokenizer, which writes
them again.

Their paths are not saved. `save_vocabulary` copies the files that they name: paths of another machine, or in
a hostile file, would make it copy any file.
"""

from __future__ import annotations

from typing import Any

SETTINGS = "init_kwargs"
"""The arguments that a tokenizer was made with."""

_PATHS = ("vocab_file", "monolingual_vocab_file")
_NORMALIZER = "_normalizer"


def attributes(cls: type) -> frozenset[str]:
    """The attributes with paths, and the normalizer that a tokenizer makes when it needs it."""
    names: dict[str, str] = getattr(cls, "vocab_files_names", {})
    makes = {_NORMALIZER} if hasattr(cls, "normalizer") else set()
    return frozenset(names.keys() & set(_PATHS)) | makes


def settings(obj: Any) -> dict[str, Any]:
    """The arguments that a tokenizer was made with, but for its files. Raises ValueError."""
    found = vars(obj).get(SETTINGS)
    if type(found) is not dict:
        raise ValueError(f"{SETTINGS} of a tokenizer is not a dict")
    return {name: value for name, value in found.items() if name not in _PATHS}


def forget(obj: Any) -> None:
    """Let a tokenizer that was loaded know of no files."""
    vars(obj)[SETTINGS] = settings(obj)
    for name in attributes(type(obj)):
        vars(obj)[name] = None if name == _NORMALIZER else ""
