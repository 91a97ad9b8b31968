"""The statement of a version, from its document: what its signatures cover."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from saver.canonical import canonical
from saver.errors import IncompatibleError, SaverError
from saver.repo.manifest import Manifest, content_hash, part_hash, values
from saver.signing.keys import SigningKey
from saver.signing.signatures import Signature, check_signatures, sign
from saver.signing.statement import Statement
from saver.stack import anywhere
from saver.strict import strict_json
from saver.tensors import TensorInfo
from saver.tree import Item, Tensor, parse


def statement_of(
    manifest: Manifest, info: Callable[[str], TensorInfo], where: str, parents: tuple[str, ...] = ()
) -> Statement:
    """The statement of an opened version or file, from its trees and the hashes of its tensors: nothing that
    the document says of their sums is believed. Raises IncompatibleError."""
    try:
        found: Statement = anywhere(_statement_of, manifest, info, where, parents)
        found.text()
    except KeyError as error:
        raise IncompatibleError(f"{where}: the tensor {error} is missing; no Saver wrote this") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, SaverError):
            raise
        raise IncompatibleError(f"{where}: what is signed cannot be written as JSON: {error}") from None
    return found


def _statement_of(
    manifest: Manifest, info: Callable[[str], TensorInfo], where: str, parents: tuple[str, ...]
) -> Statement:
    parts = {}
    for name, tree, batches in values(manifest.parts, where):
        content = content_hash(canonical([tree, batches]))  # `parse` changes these
        items: list[Item] = []
        for each in (tree, *batches.values()):
            parse(each, where, items)
        names = {item.name for item in items if type(item) is Tensor}
        held = {tensor: info(tensor) for tensor in names}
        parts[name] = part_hash(content, held, names)
    return _stated(manifest, parts, parents)


def _stated(manifest: Manifest, parts: Mapping[str, str], parents: tuple[str, ...]) -> Statement:
    return stated(manifest.model or "", parts, manifest.whole, parents, {
        "author": manifest.author, "data": manifest.data, "environment": manifest.environment,
        "metrics": manifest.metrics, "step": manifest.step, "time": manifest.time,
    })  # fmt: skip


def stated(
    model: str, parts: Mapping[str, str], whole: bool, parents: tuple[str, ...], metadata: Mapping[str, Any]
) -> Statement:
    """The statement of a version of which this is known."""
    return Statement(
        model=model, parts=parts, order=tuple(parts), whole=whole, metadata=metadata, parents=parents
    )


SIGNATURES = "saver.signatures"
"""The key of a file's signatures in its metadata."""


LONGEST = 1_000_000
"""Characters of a list of signatures: more than the largest has."""


def in_metadata(
    manifest: Manifest, signatures: tuple[Signature, ...], key: SigningKey | None
) -> dict[str, str]:
    """The metadata of a file with this manifest, whose parts have their hashes: its signatures, if any."""
    if key is not None:
        hashes = {name: part.hash for name, part in manifest.parts.items()}
        signatures = (*signatures, sign(_stated(manifest, hashes, ()), key))
    return {SIGNATURES: canonical(signatures).decode()} if signatures else {}


def from_metadata(metadata: Mapping[str, str], where: str) -> tuple[Signature, ...]:
    """The signatures of a file. Raises IncompatibleError if they are not such."""
    text = metadata.get(SIGNATURES)
    if text is None:
        return ()
    if len(text) > LONGEST:
        raise IncompatibleError(
            f"{where}: its signatures are longer than any can be; no Saver wrote this", rule="6.06"
        )
    try:
        found = msgspec.convert(strict_json(text.encode(), where, own=True), tuple[Signature, ...])
        check_signatures(found)
    except ValueError as error:
        raise IncompatibleError(
            f"{where}: its signatures are malformed: {error}; no Saver wrote this",
            rule="6.06",
        ) from None
    return found
