"""Versions of plain tensors, for a repository that knows no Python object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from saver.repo import reading
from saver.repo.draft import Draft, Encoded, EncodedPart
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.tensors import TensorData
from saver.tree import Node, Tensor, to_json

Save = Callable[..., Version]

CODES = {"float32": "F32", "float64": "F64", "int64": "I64", "uint8": "U8"}


def draft(model: str, tensors: Mapping[str, Any], **more: Any) -> Draft:
    """A version whose parts are the first steps of the tensors' names."""
    data = {
        name: TensorData(CODES[array.dtype.name], array.shape, array)
        for name, array in ((n, np.asarray(a)) for n, a in tensors.items())
    }
    held: dict[str, list[str]] = {}
    for name in data:
        held.setdefault(name.partition("/")[0], []).append(name)
    parts = {
        part: EncodedPart(
            msgspec.Raw(to_json(Node("list", state=[Node("numpy.array", state=Tensor(n)) for n in names]))),
            {},
            tuple(names),
        )
        for part, names in held.items()
    }
    encoded = Encoded(parts, data, whole=True)
    return Draft(model=model, encoded=encoded, time=1.0, environment={}, **more)


def contents(repo: Repository, ref: str) -> dict[str, Any]:
    """All tensors of a version, verified."""
    repo.open()
    version = repo.version(ref)
    stored = reading.source(repo, version, repo.described(version))
    stored.verify()
    return {name: stored.read(name).tobytes() for name in stored.names}


def same(repo: Repository, ref: str, tensors: Mapping[str, Any]) -> bool:
    """Whether a version holds these tensors, to the bit."""
    return contents(repo, ref) == {name: np.asarray(a).tobytes() for name, a in tensors.items()}
