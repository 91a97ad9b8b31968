"""One file. Everything that works on a version of a store works on a file.

A file is a pack whose metadata holds the manifest. Instead of a path you may give a file object; `dumps`
and `loads` use bytes.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from saver import arguments, environment, signed
from saver.answering import checks, confirmed, recorded, together
from saver.description import Description, describe_opened
from saver.disk.durable import NewFile
from saver.encoding import encode
from saver.garbage import uncollected
from saver.git import Git
from saver.line import Showing, shown
from saver.opening import open_blob, open_file
from saver.pack import PackWriter
from saver.repo import manifest as manifests
from saver.repo.draft import Encoded
from saver.repo.manifest import MANIFEST, Manifest
from saver.repo.stated import in_metadata
from saver.sealing import keys_of, sealed
from saver.signing.keys import KeySource, SigningKey, optional_key
from saver.signing.policy import NOT_VERIFIED, SignedBy
from saver.signing.signatures import Signature
from saver.signing.verdicts import Verified
from saver.storage import Progress
from saver.streams import Memory, Source, Target, path_of, write_in_order
from saver.tensors import TensorInfo

if TYPE_CHECKING:  # imported when they are called: `import saver` stays fast
    from saver.compare import Difference
    from saver.restoring import Names, Report


@shown("saving")
def dump(
    obj: Any, path: Target, *, example: Any = None, pipeline: Any = None, to: Any = None,
    sign: KeySource | None = None, compress: bool = False, progress: Showing = None,
) -> int:  # fmt: skip
    """Write `obj` to one file, durably and whole, or not at all. Returns the number of bytes written.

    If `obj` is a dict with string keys (at most 64), its keys become the parts. When this returns, the file
    survives a power loss; until then, any file that was at `path` is untouched. `progress(done, total)` is
    called with bytes while large data is written; `progress=True` shows a line with them. Raises
    CannotSaveError, which names the path, if something has no data form; CannotWriteError if the bytes cannot
    be made durable; and CommitUnknownError in the rare case that the new file is in place but its folder
    cannot be synced.

    With `example`, rows of inputs, the file records what goes into the model and what comes out, and some
    predictions that can be checked later; `pipeline` says how parts make one: "scaler | model". See
    docs/predictions.md.

    With `to`, the file is sealed: it tells nothing of what is in it. `to` names those who can open it, by
    their public keys (`age1…`, or files `NAME.pub`), or where a passphrase is (`prompt`, `env:NAME`, …).
    With `compress`, it is smaller where that pays, and takes longer to write and load: docs/compression.md.

    `path` may be a file object, open for writing in binary mode, which need not be seekable. It gets the
    bytes in order, header first, so tensors are read twice. Whether the bytes are durable, and what remains
    after a failure, is up to the file object; its own errors are passed on. `sign` is a private key (a file,
    `env:NAME`, PEM as bytes) that signs what is saved: see docs/security.md.
    """
    progress = arguments.callback("progress", progress)
    compress = arguments.compressing(compress)
    arguments.in_order(obj, path)
    git = Git()
    encoded = together(encode(obj), recorded(obj, example, pipeline))
    described = environment.describe(encoded.packages, encoded.seeds, git)
    document = Manifest(format=manifests.FORMAT, parts={}, time=time.time(), environment=described)
    return write_file(path, document, encoded, progress, to, compress, key=optional_key("sign", sign))


def dumps(
    obj: Any, *, example: Any = None, pipeline: Any = None, to: Any = None, sign: KeySource | None = None,
    compress: bool = False,
) -> bytes:  # fmt: skip
    """What `dump` writes, as bytes."""
    memory = io.BytesIO()
    dump(obj, memory, example=example, pipeline=pipeline, to=to, sign=sign, compress=compress)
    return memory.getvalue()


def write_file(
    target: Target, document: Manifest, encoded: Encoded, progress: Progress | None = None, to: Any = None,
    compress: bool = False, ident: str = "", key: SigningKey | None = None,
) -> int:  # fmt: skip
    """Write what was encoded to one file, as `dump` does; `document` gives the other fields of its
    manifest."""
    path = path_of(target, "path")
    writer = sealed(
        content_of(document, encoded, progress, ident, key), to, compress, place=path or "the file"
    )
    if path is None:
        write_in_order(target, writer.pieces())
        return writer.size
    with NewFile(path, writer.size) as file:
        writer.write(file)
        file.shrink(writer.size)
        file.commit()
    return writer.size


def content_of(
    document: Manifest, encoded: Encoded, progress: Progress | None = None, ident: str = "",
    key: SigningKey | None = None, signatures: tuple[Signature, ...] = (),
) -> PackWriter:  # fmt: skip
    """The file that `write_file` writes, signed by a key, or with signatures that it has already."""
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
        return {MANIFEST: manifests.encode(whole).decode(), **in_metadata(whole, signatures, key)}

    return uncollected(PackWriter, encoded.stored, describe, progress, ident)


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
    key: Any = None,
    signed_by: SignedBy = None,
    check_predictions: bool = False,
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
    over it (as `dump` does), never by overwriting it in place. `path` may be a file object, open for reading
    in binary mode, which is read at once, from its current position to the end.

    `key` opens a sealed file: a key file, `prompt`, or another source of `saver.Keys`; by default that which
    `$SAVER_KEY` names.

    A load may use memory and work in proportion to the size of the file. For files that you trust, `limit`
    sets the number of bytes that it may use instead, as in `limit="8GB"`.

    With `signed_by`, public keys, nothing is loaded that none of them signed; nor what lacks signatures that
    the trust file of `$SAVER_TRUST_FILE` or of the configuration demands: docs/security.md. With
    `check_predictions`, the model must answer its golden predictions as it did when it was saved with an
    example, or PredictionsDifferError says by how much they differ: docs/predictions.md. Raises
    NotFoundError (no such file, or no such part), IncompatibleError (not a Saver file, one of a newer Saver,
    or tensors of a device that is not here), DamagedError, LimitExceededError, KeyNeededError, WrongKeyError,
    UntrustedError, which lists every class that the policy does not allow, or SignatureError.
    """
    progress = arguments.callback("progress", progress)
    allowed = arguments.loading(trust, classes, limit, lazy=lazy, writable=writable)
    parts = None if parts is None else arguments.texts("parts", parts)
    checks(check_predictions, parts, lazy)
    opened = signed.demand_file(open_file(path, key=key), signed_by)
    found = opened.load(
        allowed, parts, lazy=lazy, writable=writable, device=device, limit=limit, progress=progress
    )
    return confirmed(opened, found, allowed, check_predictions)


def loads(
    data: bytes | bytearray | memoryview,
    *,
    parts: Iterable[str] | None = None,
    trust: Iterable[str] = (),
    classes: Mapping[str, Any] | None = None,
    lazy: bool = False,
    device: Any = None,
    limit: int | str | None = None,
    key: Any = None,
    signed_by: SignedBy = None,
) -> Any:
    """The object that `dumps` was given; arguments and errors are those of `load`. The bytes are copied
    first."""
    allowed = arguments.loading(trust, classes, limit, lazy=lazy)
    parts = None if parts is None else arguments.texts("parts", parts)
    blob, key = Memory(arguments.octets("data", data), "the bytes"), keys_of(key)
    opened = signed.demand_file(open_blob(blob, key=key), signed_by)
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
    key: Any = None,
    signed_by: SignedBy = None,
    progress: Showing = None,
) -> Report:
    """Restore a file in place, into existing objects: `into={"model": net, "optimizer": opt}`. See
    saver.restoring.
    """
    from saver.restoring import restore

    progress = arguments.callback("progress", progress)
    allowed = arguments.restoring(into, names, trust, classes, limit, strict)
    opened = signed.demand_file(open_file(path, key=key), signed_by)
    return restore(opened, into, strict=strict, names=names, trust=allowed, limit=limit, progress=progress)


@shown("comparing")
def diff(a: Source, b: Source, *, key: Any = None, progress: Showing = None) -> Difference:
    """What changed from file `a` to file `b`: parameters, weights, data, environment, metrics. Builds and
    imports nothing."""
    from saver.compare import compare

    progress = arguments.callback("progress", progress)
    keys = keys_of(key)
    return compare(open_file(a, key=keys), open_file(b, key=keys), progress=progress)


@shown("verifying")
def verify(
    path: Source, *, signed_by: SignedBy = None, key: Any = None, progress: Showing = None
) -> Verified:
    """Read all tensors of a file, and say who signed it. Raises DamagedError, which names those whose bytes
    are not what was saved, and SignatureError unless one of the public keys `signed_by` signed it."""
    progress = arguments.callback("progress", progress)
    opened = signed.demand_file(open_file(path, key=key), signed_by, demands=False, done=NOT_VERIFIED)
    return signed.verify(opened, opened.where, progress)


def describe(path: Source, *, key: Any = None) -> Description:
    """What a file contains: parts, shapes, sizes, dtypes, environment. Builds and imports nothing.

    The header is verified, the tensors are not. `untrusted` names the classes that `load` will ask for.
    """
    return describe_opened(open_file(path, key=key))
