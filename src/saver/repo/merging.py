"""Several Staged as one, as if one process had staged all of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from saver.errors import CannotSaveError
from saver.repo.repository import Repository
from saver.repo.staged import Staged, StagedPart
from saver.tensors import TensorInfo, joined, put_together

T = TypeVar("T")


def merge(
    repo: Repository, staged: Sequence[Staged], placed: Mapping[str, Any] = MappingProxyType({})
) -> tuple[Staged, dict[str, TensorInfo]]:
    """All of it, and the tensors that its shards make; `placed` are the tensors that are in pages.

    Raises CannotSaveError if it does not belong together: it was staged in another store, something was
    staged twice or by nobody, or boxes do not tile a tensor.
    """
    where, store = str(repo.storage), repo.format().id
    if any(each.store != store for each in staged):
        raise CannotSaveError(f"{where}: this was staged in another store; commit it there")
    parts = _apart("part", (each.parts for each in staged), where)
    shards = _apart("tensor", (each.tensors for each in staged), where)
    try:
        cuts = joined(each.cuts for each in staged)
        tensors = put_together(shards, cuts)
    except ValueError as error:
        raise CannotSaveError(
            f"{where}: {error}; commit all boxes of a tensor that were staged together, and no others"
        ) from None
    _demand_all(parts, tensors.keys() | placed.keys(), where)
    wholes = {each.whole for each in staged if each.parts}
    if len(wholes) > 1:
        raise CannotSaveError(
            f"{where}: some of what was staged is a part of a mapping, and some an object by itself"
        )
    return Staged(
        id="", store="", parts=parts, whole=True in wholes, tensors=shards,
        new=tuple([name for each in staged for name in each.new]),
        harmed=tuple([known for each in staged for known in each.harmed]),
        bytes_added=sum([each.bytes_added for each in staged]),
        held={name: data for each in staged for name, data in each.held.items()},
        cuts=cuts,
        compress=next((each.compress for each in staged if each.compress is not None), None),
        fresh={name: shard for each in staged for name, shard in each.fresh.items()},
    ), tensors  # fmt: skip


def _apart(kind: str, named: Iterable[Mapping[str, T]], where: str) -> dict[str, T]:
    """All in one mapping. Raises CannotSaveError if two have the same name."""
    found: dict[str, T] = {}
    for more in named:
        twice = found.keys() & more.keys()
        if twice:
            raise CannotSaveError(
                f"{where}: the {kind} {min(twice)!r} was staged twice; let one process stage it"
            )
        found |= more
    return found


def _demand_all(parts: Mapping[str, StagedPart], tensors: Collection[str], where: str) -> None:
    """Raise CannotSaveError if a part needs a tensor that is not there."""
    for part in parts.values():
        missing = sorted({*part.tensors}.difference(tensors))
        if missing:
            raise CannotSaveError(
                f"{where}: nobody staged the tensor {missing[0]!r}, which a part needs; commit everything "
                "that was staged together"
            )
