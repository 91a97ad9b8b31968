"""safetensors files that Saver did not write, read as a dict of tensors by name.

Specification: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

from typing import Any

import msgspec
from blake3 import blake3

from saver.errors import IncompatibleError, SaverError
from saver.formats._opening import opened_dict
from saver.opened import Opened
from saver.pack.layout import is_foreign, text_of
from saver.pack.read import read_header
from saver.pack.slots import Slot, check_end, check_slots
from saver.repo.manifest import SOLE
from saver.storage import Blob
from saver.strict import strict_json
from saver.tensors import NUMPY_DTYPE, Shard, TensorData, TensorInfo, hash_of, in_one, whole
from saver.tree import Node, Tensor, Value


def recognizes(blob: Blob) -> bool:
    """Whether it begins with a header that Saver did not write."""
    try:
        return is_foreign(read_header(blob))
    except SaverError:
        return False


def first_of(path: str) -> None:
    """Such a file stands alone."""


def open_blob(blob: Blob, beside: object = None) -> Opened:
    """The tensors as one part, a dict in the order of the file: of PyTorch tensors if the file says that it
    is for PyTorch (`format: pt`) or has a dtype that NumPy lacks, of NumPy arrays otherwise.

    Such a file has no hashes, so its tensors are read and hashed now; what is read later is compared with
    that. Raises DamagedError if the file is cut off, and IncompatibleError if it is malformed, or has dtypes
    that Saver does not know.
    """
    where, header = blob.name, read_header(blob)
    found = strict_json(text_of(header), where)
    metadata = _metadata(found, where)
    slots = _slots(found, blob.size - len(header), where)
    infos = {
        f"{SOLE}/{name}": _hashed(f"{SOLE}/{name}", slot, blob, len(header)) for name, slot in slots.items()
    }
    for_torch = metadata.get("format") == "pt"
    for_torch = for_torch or any(slot.dtype not in NUMPY_DTYPE for slot in slots.values())
    values = {name: _node(Tensor(f"{SOLE}/{name}"), for_torch) for name in slots}
    packages = ("torch" if for_torch else "numpy",)
    return opened_dict(values, infos, {where: blob}, packages, where, blob.size, blake3(header).hexdigest())


class _Slot(Slot, forbid_unknown_fields=False):
    """Other writers may add fields."""


def _metadata(document: Any, where: str) -> dict[str, str]:
    """Take the metadata, which must be text by name, out of a header."""
    found = document.pop("__metadata__", {}) if isinstance(document, dict) else None
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise IncompatibleError(f"{where}: this is not the header of a safetensors file")
    return found


def _slots(document: Any, size: int, where: str) -> dict[str, _Slot]:
    """The tensors, in the order of their bytes. Raises an error unless they tile the `size` bytes of data."""
    try:
        slots = msgspec.convert(document, dict[str, _Slot])
        ordered = sorted(slots.items(), key=lambda item: item[1].data_offsets)
        check_end(check_slots(ordered, where, "convert it"), size, where)
    except SaverError:
        raise
    except ValueError as error:
        raise IncompatibleError(f"{where}: this is not the header of a safetensors file: {error}") from None
    return dict(ordered)


def _hashed(name: str, slot: _Slot, blob: Blob, start: int) -> TensorInfo:
    begin, end = (start + offset for offset in slot.data_offsets)
    data = blob.map()[begin:end]
    extents = ((blob.name, begin, end - begin),) if end > begin else ()
    if slot.dtype == "BOOL" and data.size and data.max() > 1:
        raise IncompatibleError(f"{blob.name}: the tensor {name[:80]!r} has bytes that are not booleans")
    found = hash_of(TensorData("U8", (end - begin,), data))
    return in_one(name, Shard(slot.dtype, whole(slot.shape), *found, extents))


def _node(tensor: Tensor, for_torch: bool) -> Value:
    return Node("torch.Tensor", state={"data": tensor}) if for_torch else Node("numpy.array", state=tensor)
