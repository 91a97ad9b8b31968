"""What a file is that does not begin as a pack does, as far as its first bytes show."""

from __future__ import annotations

import re

from saver import registry
from saver.errors import DamagedError, IncompatibleError, SaverError

_MAGIC = (
    (b"\x80\x02", "a pickle"), (b"\x80\x03", "a pickle"), (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"), (b"PK\x03\x04", "a zip archive"),
    (b"\x89HDF", "an HDF5 file"), (b"\x93NUMPY", "a NumPy .npy file"), (b"\x1f\x8b", "gzip-compressed"),
    (b"x\x9c", "zlib-compressed, as joblib.dump writes"), (b"x^", "zlib-compressed, as joblib.dump writes"),
    (b"x\xda", "zlib-compressed"), (b"x\x01", "zlib-compressed"),
    (b"BZh", "bzip2-compressed"), (b"\xfd7zXZ", "xz-compressed"), (b"ZF", "an old joblib file"),
)  # fmt: skip
_OLD_PICKLE = re.compile(rb"c[\w.]+\n[\w.]+\n|\((lp|dp|[cid])|[]})]q\x00")
"""The beginning of pickles of the protocols 0 and 1, which have no magic number."""


def no_saver_file(first: bytes, path: str, rule: str) -> SaverError:
    """The error for a file that begins with `first`. It says what the file is, if that can be recognized."""
    found = _no_saver_file(first, path)
    found.rule = found.rule or rule
    return found


def _no_saver_file(first: bytes, path: str) -> SaverError:
    if not first:
        return DamagedError(f"{path}: there is nothing in it; copy it from its source again", rule="1.01")
    if not any(first):
        return DamagedError(f"{path}: the header is missing, so writing was cut off; use an older copy")
    kind = next((kind for magic, kind in _MAGIC if first.startswith(magic)), None)
    if kind is None and _OLD_PICKLE.match(first):
        kind = "a pickle"
    if kind == "a zip archive":
        kind += f", as {', '.join(name for family in registry.families() for name in family.zips)} write"
    if kind is None:
        return IncompatibleError(f"{path} is not a Saver file: it does not begin with a safetensors header")
    return IncompatibleError(
        f"{path} is {kind}, not a Saver file, whatever its name says; nothing in it was run. "
        "If you trust it, open it with the library that wrote it, and save the object with saver.dump"
    )
