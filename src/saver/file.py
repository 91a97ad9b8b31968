"""One file. Everything that works on a version of a store works on a file.

A file is a pack whose metadata holds the manifest. Instead of a path you may give a file object; `dumps`
and `loads` use bytes.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from saver import arguments, environment
from saver import format as formats
from saver.description import Description, describe_opened
from saver.disk import mapped
from saver.disk.durable import NewFile
from saver.encoding import encode
from saver.errors import IncompatibleError, NotFoundError, quoted
from saver.garbage import uncollected
from saver.git import Git
from saver.line import Showing, shown
from saver.opened import Opened
from saver.pack import Pack, PackWriter
from saver.pack.layout import is_foreign
from saver.pack.read import read_header
from saver.repo import manifest as manifests
from saver.repo.draft import Encoded
from saver.repo.manifest import MANIFEST, Manifest
from saver.storage import Blob, Progress
from saver.streams import Memory, Readable, Source, Target, path_of, read_source, write_in_order
from saver.tensors import TensorInfo

if TYPE_CHECKING:  # imported when they are called: `import saver` stays fast
    from saver.compare import Difference
    from saver.restoring import Names, Report


@shown("saving")
def dump(obj: Any, path: Target, *, progress: Showing = None) -> int:
    """Write `obj` to one file, durably and whole, or not at all. Returns the number of bytes written.

    If `obj` is a dict with string keys (at most 64), its keys become the parts. When this returns, the file
    survives a power loss; until then, any file that was at `path` is untouched. `progress(done, total)` is
    called with bytes while large data is written; `progress=True` shows a line with them. Raises
    CannotSaveError, which names the path, if something has no data form; CannotWriteError if the bytes cannot
    be made durable; and CommitUnknownError in the rare case that the new file is in place but its folder
    cannot be synced.

    `path` may be a file object, open for writing in binary mode, which need not be seekable. It gets the
    bytes in order, header first, so tensors are read twice. Whether the bytes are durable, and what remains
    after a failure, is up to the file object; its own errors are passed on.
    """
    progress = arguments.callback("progress", progress)
    arguments.in_order(obj, path)
    git = Git()
    encoded = encode(obj)
    described = environment.describe(encoded.packages, encoded.seeds, git)
    document = Manifest(format=manifests.FORMAT, parts={}, time=time.time(), environment=described)
    return write_file(path, document, encoded, progress)


def dumps(obj: Any) -> bytes:
    """What `dump` writes, as bytes."""
    memory = io.BytesIO()
    dump(obj, memory)
    return memory.getvalue()


def write_file(target: Target, document: Manifest, encoded: Encoded, progress: Progress | None = None) -> int:
    """Write what was encoded to one file, as `dump` does; `document` gives the other fields of its
    manifest."""
    path = path_of(target, "path")
    writer = content_of(document, encoded, progress)
    if path is None:
        write_in_order(target, writer.pieces())
        return writer.size
    with NewFile(path, writer.size) as file:
        writer.write(file)
        file.commit()
    return writer.size


def content_of(document: Manifest, encoded: Encoded, progress: Progress | None = None) -> PackWriter:
    """The file that `write_file` writes."""
    contents = {
        name: manifests.content_hash(manifests.structure(part.tree, part.batches))
        for name, part in encoded.parts.items()
    }

    def describe(tensors: Mapping[str, TensorInfo]) -> dict[str, str]:
        parts = {
            name: part.described(manifests.part_hash(contents[name], tensors, part.tensors), part.version)
            for name, part in encoded.parts.items()
        }
        whole = msgspec.structs.replace(document, parts=parts, whole=encoded.whole)
        return {MANIFEST: manifests.encode(whole).decode()}

    return uncollected(PackWriter, encoded.stored, describe, progress)


@shown("loading")
def load(
    path: Source,
    *,
    parts: Iterable[str] | None = None,
    trust: Iterable[str] = (),
    classes: Mapping[str, Any] | None = None,
    lazy: bool = False,
    writable: bool = False,
    device: Any = None,
    limit: int | str | None = None,
    progress: Showing = None,
) -> Any:
    """What was saved, to the bit, without running code from the file.

    Every byte is checked against its hash before anything is built. `parts` loads a dict of those parts
    alone, and reads only their bytes. `trust` names classes of your own that may be imported, as in
    `trust=["mypackage.*"]`. `classes` says which class, of any name, stands for a name in the file, as in
    `classes={"__main__.Net": Net}`, and so allows it.

    `device` is where tensors go, as in `device="cpu"`; without it, each goes to the device that it was saved
    from.

    With `lazy=True` bytes are read and checked on first use. The parts come back as a read-only mapping. A
    dict with arrays or tensors anywhere in it, at any depth, also becomes a read-only mapping, and such a
    list a read-only sequence. Their items are built one by one, down to a single array; everything else (a
    module, an estimator, a tuple) is read whole on first use.

    Large arrays are views of a private mapping of the file: writing to them changes memory only, and copies
    each page of 4 kB when it is first written. With `writable=True` they are in fresh memory instead, which
    is faster if most of it will be changed, as in further training. Replace a loaded file by renaming another
    over it (as `dump` does), never by overwriting it in place. `path` may
    be a file object, open for reading in binary mode, which is read at once, from its current position to
    the end.

    A load may use memory and work in proportion to the size of the file. For files that you trust, `limit`
    sets the number of bytes that it may use instead, as in `limit="8GB"`.

    Raises NotFoundError (no such file, or no such part), IncompatibleError (not a Saver file, one of a newer
    Saver, or tensors of a device that is not here), DamagedError, LimitExceededError, or UntrustedError,
    which lists every class that the policy does not allow.
    """
    progress = arguments.callback("progress", progress)
    allowed = arguments.loading(trust, classes, limit, lazy=lazy, writable=writable)
    parts = None if parts is None else arguments.texts("parts", parts)
    opened = open_file(path)
    return opened.load(
        allowed, parts, lazy=lazy, writable=writable, device=device, limit=limit, progress=progress
    )


def loads(
    data: bytes | bytearray | memoryview,
    *,
    parts: Iterable[str] | None = None,
    trust: Iterable[str] = (),
    classes: Mapping[str, Any] | None = None,
    lazy: bool = False,
    device: Any = None,
    limit: int | str | None = None,
) -> Any:
    """The object that `dumps` was given; arguments and errors are those of `load`. The bytes are copied
    first."""
    allowed = arguments.loading(trust, classes, limit, lazy=lazy)
    parts = None if parts is None else arguments.texts("parts", parts)
    opened = _opened(Memory(arguments.octets("data", data), "the bytes"))
    return opened.load(allowed, parts, lazy=lazy, device=device, limit=limit)


@shown("restoring")
def restore(
    path: Source,
    into: Any,
    *,
    strict: bool = True,
    names: Names = None,
    trust: Iterable[str] = (),
    classes: Mapping[str, Any] | None = None,
    limit: int | str | None = None,
    progress: Showing = None,
) -> Report:
    """Restore a file in place, into existing objects: `into={"model": net, "optimizer": opt}`. See
    saver.restoring.
    """
    from saver.restoring import restore

    progress = arguments.callback("progress", progress)
    allowed = arguments.restoring(into, names, trust, classes, limit, strict)
    opened = open_file(path)
    return restore(opened, into, strict=strict, names=names, trust=allowed, limit=limit, progress=progress)


@shown("comparing")
def diff(a: Source, b: Source, *, progress: Showing = None) -> Difference:
    """What changed from file `a` to file `b`: parameters, weights, data, environment, metrics. Builds and
    imports nothing."""
    from saver.compare import compare

    progress = arguments.callback("progress", progress)
    return compare(open_file(a), open_file(b), progress=progress)


@shown("verifying")
def verify(path: Source, *, progress: Showing = None) -> None:
    """Read all tensors of a file. Raises DamagedError, which names those whose bytes are not what was
    saved."""
    progress = arguments.callback("progress", progress)
    open_file(path).tensors.verify(progress=progress)


def names_file(what: object) -> bool:
    """Whether this is a file rather than the ref of a version: a string that ends in `.saver` or
    `.safetensors`, a path object, or a file object."""
    return (
        what.endswith((".saver", ".safetensors"))
        if isinstance(what, str)
        else isinstance(what, (os.PathLike, Readable))
    )


def open_file(source: Source, format: str | None = None) -> Opened:
    """Open a file: verify its header and parse its trees. Builds and imports nothing.

    The format is found out by the content, unless `format` names it. What consists of several files in
    another tool's format may be called by its folder, or by what their names begin with.
    """
    path = path_of(source, "path")
    chosen = None if format is None else formats.named(formats.Reads, format)  # type: ignore[type-abstract]
    if path is None:
        return _opened(read_source(source, lambda first: _known(first, chosen)), None, chosen)
    try:
        blob = mapped.open_file(path)
    except (NotFoundError, IncompatibleError) as error:  # there is no such file, or it is not one
        several = isinstance(error, NotFoundError) or os.path.isdir(path)
        found = formats.of_path(path, chosen) if several else None
        if found is None:
            raise
        chosen, path = found
        blob = mapped.open_file(path)
    return _opened(blob, beside_of(path), chosen)


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


def _opened(blob: Blob, beside: formats.Beside | None = None, chosen: formats.Reads | None = None) -> Opened:
    module = chosen
    if chosen is None:
        try:
            header = read_header(blob)
        except IncompatibleError:
            module = formats.of_content(blob)
            if module is None:
                raise
        else:
            module = formats.of_content(blob) if is_foreign(header) else None
    return open_own(blob, header) if module is None else module.open(blob, beside)


def open_own(blob: Blob, header: bytes) -> Opened:
    """Open a file of Saver's own, which begins with this header."""
    pack, where = Pack(blob, header), blob.name
    text = pack.metadata.get(MANIFEST)
    if text is None:
        raise IncompatibleError(f"{where} is a pack of a store, without a manifest; open its store instead")
    return Opened(manifests.decode(text.encode(), where), pack.source(), where, pack.size, pack.hash)


def describe(path: Source) -> Description:
    """What a file contains: parts, shapes, sizes, dtypes, environment. Builds and imports nothing.

    The header is verified, the tensors are not. `untrusted` names the classes that `load` will ask for.
    """
    return describe_opened(open_file(path))
