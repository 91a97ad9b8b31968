"""Names of models from paths: what differs only by a number is one model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from saver.repo.refs import MODEL_LIMIT

_WORDS = "v|ver|version|rev|step|steps|global_step|epoch|iter|iteration|checkpoint|ckpt"
_NUMBER = re.compile(
    rf"(?:^|(?<=[-_. =@])|[-_. =@]+)(?:(?:{_WORDS})[-_. =]?)?v?\d+(?:[-_.:T]?\d+)*Z?(?=$|[-_. =@])",
    re.IGNORECASE,
)
"""A number that stands by itself in a name: a version, a step, a date."""

_PACKED = (".gz", ".bz2", ".xz", ".lzma", ".z")
_ENDING = re.compile(r"(?<=.)\.[A-Za-z]\w{0,14}$")
"""Of a file; that of a number, as in `v1.2`, is not one."""

_UNFIT = re.compile(r"[^\w.+-]+")


class Naming(NamedTuple):
    """How models are named: by patterns first, then by their paths."""

    names: dict[str, str]
    apart: bool
    leave: tuple[str, ...]
    whole: str = "model"
    """What a model is called whose path is nothing but numbers: the name of the folder."""

    def leaves(self, path: str) -> bool:
        """Whether what is at a path is to be left out."""
        return any(fnmatchcase(path, pattern) for pattern in self.leave)

    def given(self, path: str) -> str | None:
        """The name that the caller gave to what is at a path."""
        return next((name for each, name in self.names.items() if fnmatchcase(path, each)), None)

    def model(self, path: str, ending: str, base: str = "") -> str:
        """The name of the model in the file or folder at a path; `base` is what comes before it."""
        *folders, last = path.split("/")
        stem = last.removesuffix(ending)
        pieces = [*folders, stem]
        if not self.apart:
            pieces = [_without_numbers(piece) for piece in pieces]
        return _proper([*base.split("/"), *pieces]) or _proper([self.whole]) or "model"


def ending_of(name: str) -> str:
    """What a file's name ends with, such as `.pkl` or `.pkl.gz`."""
    inner = name
    for packed in _PACKED:
        if name.lower().endswith(packed) and len(name) > len(packed):
            inner = name[: -len(packed)]
    found = _ENDING.search(inner)
    return name[found.start() :] if found else name[len(inner) :]


def in_order(path: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts paths as people do: 9 before 10."""
    pieces = re.split(r"(\d{1,30})", path)
    return tuple((0, int(piece)) if piece.isdecimal() else (1, piece) for piece in pieces)


def settled(models: Sequence[tuple[str, str]]) -> list[str]:
    """Names for models, given as names and endings: files of one name and other endings are other models."""
    endings: dict[str, set[str]] = {}
    for model, ending in models:
        endings.setdefault(model, set()).add(ending.lower())
    return [
        _proper([*model.split("/")[:-1], f"{model.split('/')[-1]}{ending.lower()}"])
        if len(endings[model]) > 1
        else model
        for model, ending in models
    ]


def _without_numbers(piece: str) -> str:
    return _NUMBER.sub("", piece).strip("-_. =@")


def _proper(pieces: Iterable[str]) -> str:
    """Pieces as the name of a model, without those of which nothing is left."""
    plain = (_UNFIT.sub("-", unicodedata.normalize("NFC", piece)) for piece in pieces)
    kept = [piece for piece in (each.lstrip(".+-").rstrip("-") for each in plain) if piece]
    name = "/".join(kept)
    if len(name) > MODEL_LIMIT:
        name = "/".join(kept)[-MODEL_LIMIT:].lstrip("/.+-")
    return name
