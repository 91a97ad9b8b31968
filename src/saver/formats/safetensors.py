"""safetensors files as other tools write and read them: a dict of tensors by name.

Specification: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from blake3 import blake3

from saver.errors import IncompatibleError, SaverError
from saver.format import Beside, Chosen, Loss, Out, Reads, Writes
from saver.formats._arrays import Named, arrays_of
from saver.formats._later import later_in_turn
from saver.formats._opening import Placed, all_hashed, opened_dict
from saver.formats._writing import Streamed
from saver.garbage import uncollected
from saver.opened import Opened
from saver.pack.layout import is_foreign, text_of
from saver.pack.read import read_header
from saver.pack.slots import Slot, check_end, check_slots
from saver.reading.arrays import Array
from saver.repo.manifest import SOLE
from saver.storage import ALIGNMENT, Blob, Progress
from saver.strict import strict_json
from saver.tensors import ITEM_SIZE, NUMPY_DTYPE, TensorInfo
from saver.tree import Node, Tensor, Value


class SafeTensors(Reads, Writes):
    """Plain safetensors: arrays by name, as state dicts are, and nothing else."""

    name = "safetensors"
    title = "safetensors"
    endings = (".safetensors",)

    def recognizes(self, blob: Blob) -> bool:
        """Whether it begins with a header that Saver did not write."""
        try:
            return is_foreign(read_header(blob))
        except SaverError:
            return False

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The tensors as one part, a dict in the order of the file: of PyTorch tensors if the file says that
        it is for PyTorch (`format: pt`) or has a dtype that NumPy lacks, of NumPy arrays otherwise.

        Such a file has no hashes, so its tensors are read and hashed now; what is read later is compared with
        that. Raises DamagedError if the file is cut off, and IncompatibleError if it is malformed, or has
        dtypes that Saver does not know.
        """
        where, header = blob.name, read_header(blob)
        infos, values, package = tensors_of(blob, header)
        return opened_dict(
            values, infos, {where: blob}, (package,), where, blob.size, blake3(header).hexdigest()
        )

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write all arrays whose dtype safetensors has; `format` in the metadata is `pt` if PyTorch made
        them."""
        arrays = arrays_of(chosen).of(fits).some(chosen.opened.where, self.title)
        out.add("", uncollected(content, chosen.opened, arrays.found, progress))
        return arrays.losses


FORMAT = SafeTensors()


def fits(array: Array) -> str:
    """Why safetensors cannot hold an array; "" if it can."""
    return "" if array.form.name in ITEM_SIZE else "safetensors has no such dtype"


def content(opened: Opened, found: Sequence[Named], progress: Progress | None = None) -> Streamed:
    """A file with these arrays. As in a pack, those whose length is a multiple of 64 bytes come first, so
    that all are aligned to their items without padding, which safetensors forbids."""

    def rank(each: Named) -> tuple[bool, int]:
        odd = each.array.length % 64 != 0
        return odd, -each.array.form.size if odd else 0

    ordered = sorted(found, key=rank)
    of_torch = any("torch" in part.packages for part in opened.manifest.parts.values())
    maker = "pt" if of_torch else "np"
    header: dict[str, Any] = {"__metadata__": {"format": maker}}
    end = 0
    for each in ordered:
        begin, end = end, end + each.array.length
        places = {"dtype": each.array.form.name, "shape": each.array.shape, "data_offsets": (begin, end)}
        header[each.name] = places
    text = msgspec.json.encode(header)
    text = text.ljust(-(-(8 + len(text)) // ALIGNMENT) * ALIGNMENT - 8)
    data = later_in_turn(opened, [each.array for each in ordered])
    return Streamed([len(text).to_bytes(8, "little") + text, *data], progress)


def tensors_of(blob: Blob, header: bytes) -> tuple[dict[str, TensorInfo], dict[str, Value], str]:
    """What the tensors of a file are, the values that stand for them, and the package that these need."""
    where = blob.name
    found = strict_json(text_of(header), where)
    metadata = _metadata(found, where)
    slots = _slots(found, blob.size - len(header), where)
    infos = all_hashed(
        [
            Placed(f"{SOLE}/{name}", slot.dtype, slot.shape, blob, len(header) + slot.data_offsets[0])
            for name, slot in slots.items()
        ]
    )
    for_torch = metadata.get("format") == "pt"
    for_torch = for_torch or any(slot.dtype not in NUMPY_DTYPE for slot in slots.values())
    values = {name: _node(Tensor(f"{SOLE}/{name}"), for_torch) for name in slots}
    return infos, values, "torch" if for_torch else "numpy"


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


def _node(tensor: Tensor, for_torch: bool) -> Value:
    return Node("torch.Tensor", state={"data": tensor}) if for_torch else Node("numpy.array", state=tensor)
