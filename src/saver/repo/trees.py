"""The documents of parts: the tree and batches of a large part, in a separate object.

Versions in which the part did not change share it, as they share tensors. Its name is the hash of its
bytes, and a random salt makes every document unique: so no key is put twice, and what was condemned never
comes back.
"""

from __future__ import annotations

import msgspec
from blake3 import blake3

from saver.canonical import canonical
from saver.errors import DamagedError, IncompatibleError
from saver.repo.manifest import content_hash
from saver.repo.objects import tree_key
from saver.storage import Storage
from saver.strict import restated, strict_json

TREE_BYTES = 64 << 10
"""From this many bytes on, a part has a separate document. One more object takes about as long to write as
two megabytes; smaller parts are written again with each version."""

_BEGIN, _MIDDLE, _END = b'{"salt":"', b'","part":', b"}"
_CONTENT = len(_BEGIN) + 32 + len(_MIDDLE)


def encode(content: bytes, salt: str) -> tuple[str, bytes]:
    """The name and the bytes of a document; `content` is JSON, `[tree,batches]`, `salt` 32 characters."""
    data = b"".join((_BEGIN, salt.encode(), _MIDDLE, content, _END))
    return blake3(data).hexdigest(), data


def verified(data: bytes, name: str, content: str, where: str) -> bytes:
    """The content of a document. Raises DamagedError unless the bytes are those that were written, and
    their content has this hash.
    """
    if blake3(data).hexdigest() != name:
        raise DamagedError(
            f"{where}: {tree_key(name)}: the bytes are not those that were written; restore that file from a "
            "copy of the store",
            rule="5.11",
        )
    found = data[_CONTENT : -len(_END)]
    if content_hash(found) != content:
        raise DamagedError(
            f"{where}: {tree_key(name)} is not the document that the manifest describes; one of them was "
            "changed; restore the folders manifests/ and trees/ from a copy of the store",
            rule="5.14",
        )
    return found


def demand_document(data: bytes, where: str) -> None:
    """Raise IncompatibleError unless these bytes are the document of a part, whatever its content."""
    if not data.startswith(_BEGIN) or data[_CONTENT - len(_MIDDLE) : _CONTENT] != _MIDDLE:
        raise IncompatibleError(f"{where}: not the document of a part; no Saver wrote this")
    parsed(data[_CONTENT : -len(_END)], where)


def parsed(content: bytes, where: str) -> tuple[msgspec.Raw, dict[str, msgspec.Raw]]:
    """The tree and the batches of a part, still raw JSON. Raises IncompatibleError."""
    try:
        found = _pair.decode(content)
        if canonical(found, floats=False) == content:  # so no key is there twice
            return found
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass  # raised below
    try:
        return restated(strict_json(content, where, own=True), _pair)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise IncompatibleError(
            f"{where}: the document of a part is malformed: {error}", rule="5.14"
        ) from None


_pair = msgspec.json.Decoder(tuple[msgspec.Raw, dict[str, msgspec.Raw]])


def read(storage: Storage, name: str, content: str, where: str) -> bytes:
    """Read the content of a store's document. Raises NotFoundError or DamagedError."""
    return verified(storage.read(tree_key(name)), name, content, where)
