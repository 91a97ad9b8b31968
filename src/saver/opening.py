"""Opens files: those of Saver, sealed or not, and those of other tools. Builds and imports nothing."""

from __future__ import annotations

import os
from typing import Any

from saver import format as formats
from saver.disk import mapped
from saver.errors import IncompatibleError, NotFoundError, quoted
from saver.opened import Opened
from saver.pack import Pack
from saver.pack.layout import is_foreign
from saver.pack.read import read_header
from saver.repo import manifest as manifests
from saver.repo.manifest import MANIFEST
from saver.repo.stated import from_metadata
from saver.sealing import keys_of
from saver.sealing import opened as unsealed
from saver.seals.layout import is_sealed
from saver.seals.recognizing import is_compressed
from saver.storage import Blob
from saver.streams import Source, path_of, read_source


def open_file(source: Source, format: str | None = None, key: Any = None) -> Opened:
    """Open a file: verify its header and parse its trees. Builds and imports nothing.

    The format is found out by the content, unless `format` names it. What consists of several files in
    another tool's format may be called by its folder, or by what their names begin with.
    """
    path = path_of(source, "path")
    key = None if key is None else keys_of(key)
    chosen = None if format is None else formats.named(formats.Reads, format)  # type: ignore[type-abstract]
    if path is None:
        return open_blob(read_source(source, lambda first: _known(first, chosen)), None, chosen, key)
    try:
        blob = mapped.open_file(path)
    except (NotFoundError, IncompatibleError) as error:  # there is no such file, or it is not one
        several = isinstance(error, NotFoundError) or os.path.isdir(path)
        found = formats.of_path(path, chosen) if several else None
        if found is None:
            raise
        chosen, path = found
        blob = mapped.open_file(path)
    return open_blob(blob, beside_of(path), chosen, key)


def _known(first: Blob, chosen: formats.Reads | None) -> bool:
    """Whether a file that begins so is one of another tool."""
    return chosen is not None or formats.of_content(first) is not None


def beside_of(path: str) -> formats.Beside:
    """Opens files in the folder of this one, and nowhere else, whatever a file says."""

    def opened(name: str) -> Blob:
        if name != os.path.basename(name) or "\\" in name or name in ("", ".", "..") or "\0" in name:
            raise IncompatibleError(f"{path}: it names {quoted(name)}, which is not a file in its own folder")
        return mapped.open_file(os.path.join(os.path.dirname(path), name))

    return opened


def open_blob(
    blob: Blob, beside: formats.Beside | None = None, chosen: formats.Reads | None = None, key: Any = None
) -> Opened:
    """Open what a blob holds. What is sealed is never a file of another tool, though it looks like one of
    safetensors: one who cannot open the seal gets an error, and no bytes that mean nothing."""
    module, secret = chosen, False
    if chosen is None:
        try:
            header = read_header(blob)
        except IncompatibleError:
            module = formats.of_content(blob)
            if module is None:
                raise
        else:
            if is_sealed(header):
                secret = not is_compressed(header)
                blob = unsealed(blob, key)
                header = read_header(blob)
            module = formats.of_content(blob) if is_foreign(header) else None
    return open_own(blob, header, secret) if module is None else module.open(blob, beside)


def open_own(blob: Blob, header: bytes, secret: bool = False) -> Opened:
    """Open a file of Saver's own, which begins with this header."""
    pack, where = Pack(blob, header), blob.name
    text = pack.metadata.get(MANIFEST)
    if text is None:
        raise IncompatibleError(
            f"{where} is a pack of a store, without a manifest; open its store instead", rule="2.01"
        )
    manifest, signatures = manifests.decode(text.encode(), where), from_metadata(pack.metadata, where)
    return Opened(manifest, pack.source(), where, pack.size, pack.hash, signatures, secret=secret)
