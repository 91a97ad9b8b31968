"""Tensors of another tool's file, opened as one part: a dict of them by name."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import msgspec

from saver.opened import Opened
from saver.pack import PackedTensors
from saver.repo import manifest as manifests
from saver.repo.manifest import SOLE, Manifest, Part
from saver.storage import Blob
from saver.tensors import TensorInfo
from saver.tree import Node, Value, reserved, to_json

_ADVICE = "the file was changed while it was read; open it again"


def opened_dict(
    values: Mapping[str, Value],
    infos: Mapping[str, TensorInfo],
    blobs: Mapping[str, Blob],
    packages: tuple[str, ...],
    where: str,
    size: int,
    digest: str,
) -> Opened:
    """`values` in their order. Their tensors are described by `infos`, and stored in `blobs`, by the names
    that their extents have. `packages` are needed to build them; `where`, `size` and `digest` are those of
    the whole.
    """
    plain = not any(map(reserved, values))
    node = Node("dict", state=dict(values) if plain else [list(values), list(values.values())])
    tree = msgspec.Raw(to_json(node))
    content = manifests.content_hash(manifests.structure(tree, {}))
    part = Part(tree=tree, hash=manifests.part_hash(content, infos, infos), version=1, packages=packages)
    manifest = Manifest(format=manifests.FORMAT, parts={SOLE: part}, time=time.time())

    def opened(names: Iterable[str]) -> dict[str, Blob]:
        return {name: blobs[name] for name in names}

    source = PackedTensors(infos, opened, where, _ADVICE, size=size)
    return Opened(manifest, source, where, size, digest)
