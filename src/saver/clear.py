"""Warnings that what was sealed is in clear where it goes."""

from __future__ import annotations

from saver.callers import warn
from saver.opened import Opened
from saver.repo.repository import Repository

_ALL = "weights, names of models, parts and tensors, metrics, notes, labels, tags, authors, environment"


def warn_of_place(source: object, place: object, instead: str, how: str = "pushed to") -> None:
    """Warn that what comes from a sealed store or file is in clear at a place. `instead` says what would seal
    it, and `how` it gets there."""
    fact = f"{source} is sealed, and what is {how} {place} is not"
    warn(f"{fact}: everybody who may read there can read all of it: {_ALL}; {instead}", UserWarning)


def warn_of_import(opened: Opened, target: Repository) -> None:
    """Warn if a sealed file is saved in a store that is not sealed."""
    if opened.secret and not seals(target):
        warn_of_place(opened.where, target.storage, with_a_key(target), "imported into")


def warn_of_file(opened: Opened, path: str, format: str, to: bool) -> None:
    """Warn if what is sealed is written to a file that is not; `to` says whether the format could be."""
    if opened.secret:
        seal = "to= (--to KEY.pub, or --passphrase)"
        instead = (
            f"to seal it, pass {seal}" if to else f"{format} has no seal: write a .saver file with {seal}"
        )
        fact = f"{opened.where} is sealed, and {path} is not"
        warn(f"{fact}: everybody who may read it can read what it holds; {instead}", UserWarning)


def seals(target: Repository) -> bool:
    """Whether what is saved in a store is sealed there."""
    return target.format().seal is not None if target.exists() else target.storage.seals_new


def with_a_key(target: Repository) -> str:
    """What makes a store at this place that seals."""
    return f"to seal it, make the store with a key: saver.Saver({str(target.storage)!r}, key=FILE).create()"
