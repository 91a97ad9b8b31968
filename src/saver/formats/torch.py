"""Files that `torch.load(weights_only=True)` opens: state dicts, and dicts and lists of tensors and numbers.

They are zip archives, as `torch.save` writes them since PyTorch 1.6, made without PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from saver.errors import IncompatibleError
from saver.format import Chosen, Loss, Out, Writes
from saver.formats._later import later
from saver.formats._writing import Later, Streamed
from saver.formats._zip import Entry, archived
from saver.formats.pickle.values import LOST, Values
from saver.formats.pickle.writing import Outside, Writer
from saver.pickled import Call, Elements, Global, Inert, Pairs
from saver.reading.arrays import Array, row_major
from saver.reading.forms import Form
from saver.stack import anywhere
from saver.storage import Progress
from saver.tree import Node, encodable

_TYPES = {
    "BOOL": ("Bool", "bool"), "U8": ("Byte", "uint8"), "I8": ("Char", "int8"), "I16": ("Short", "int16"),
    "I32": ("Int", "int32"), "I64": ("Long", "int64"), "F16": ("Half", "float16"),
    "BF16": ("BFloat16", "bfloat16"), "F32": ("Float", "float32"), "F64": ("Double", "float64"),
    "complex64": ("ComplexFloat", "complex64"), "complex128": ("ComplexDouble", "complex128"),
    "complex32": ("", "complex32"), "U16": ("", "uint16"), "U32": ("", "uint32"), "U64": ("", "uint64"),
    "F8_E4M3": ("", "float8_e4m3fn"), "F8_E5M2": ("", "float8_e5m2"),
}  # fmt: skip
"""The storage and the dtype of each form; dtypes without a storage of their own lie in plain bytes."""

ALIGNMENT = 64
_FOLDER = "archive"
_BITS = 8 * 255
"""Of the longest integers that PyTorch reads."""


class Torch(Writes):
    """Tensors, numbers and containers, as `torch.save` writes them; nothing that has to be run."""

    name = "torch"
    title = "a file of torch.save"
    endings = (".pt", ".pth", ".bin")

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write dicts, lists and tensors as they are, a module or an optimizer as its state dict, and of
        other objects the arrays by name."""
        made: Tensors
        root: Any
        made, root = anywhere(_made, chosen)
        if root is LOST or not made.storages:
            raise IncompatibleError(
                f"{chosen.opened.where}: there are no arrays in it that {self.title} could hold; nothing was "
                "written; write a Saver file instead, or choose other parts"
            )
        out.add("", Streamed(archived(entries(root, dict(enumerate(made.storages))), ALIGNMENT), progress))
        return made.losses


FORMAT = Torch()


def _made(chosen: Chosen) -> tuple[Tensors, Inert]:
    made = Tensors(chosen)
    return made, made.root()


class Tensors(Values):
    """Values of files of PyTorch, and the storages that their tensors lie in, by their keys."""

    def __init__(self, chosen: Chosen) -> None:
        super().__init__(chosen)
        self.storages: list[Later] = []
        self._known: dict[tuple[str, str], int] = {}

    def array(self, node: Node, array: Array, place: str) -> Inert:
        if array.form.name not in _TYPES:
            return self.lost(place, f"{array.form.name} {list(array.shape)}: PyTorch has no such dtype")
        state: Any = node.state if node.codec == "torch.Tensor" and type(node.state) is dict else {}
        if state.get("conj") or state.get("neg"):
            return self.lost(place, "a tensor that is conjugated or negated when it is read")
        if node.codec == "numpy.array" and node.state is not None:
            self.losses.append(Loss(place, "a NumPy array is written as a tensor"))
        if state.get("attributes"):
            self.losses.append(Loss(place, "the attributes of a tensor"))
        is_parameter = state.get("parameter") is True
        learns = state.get("requires_grad", is_parameter) is True
        tensor = self._tensor(array, learns and not is_parameter)
        if not is_parameter:
            return tensor
        return Call(Global("torch._utils", "_rebuild_parameter"), (tensor, learns, _hooks()))

    def _tensor(self, array: Array, learns: bool) -> Call:
        key, count, offset, strides = self.placed(array)
        return tensor(array.form, (key, count), offset, array.shape, strides, learns)

    def placed(self, array: Array) -> tuple[int, int, int, tuple[int, ...]]:
        """The storage of an array, its number of entries, and where in it the array lies: as in memory if
        it is a run of a tensor's bytes, which views share; otherwise by itself and in order."""
        size, plain = array.form.size, row_major(array.shape)
        length = self.opened.tensors.info(array.name).length if array.name and not array.pieces else 1
        if length % size or array.offset % size:
            key, count = self.stored(array), array.count
            return key, count, 0, plain
        known = array.name, array.form.name
        if known not in self._known:
            whole = msgspec.structs.replace(array, shape=(length // size,), offset=0, strides=None)
            self._known[known] = self.stored(whole)
        return self._known[known], length // size, array.offset // size, array.strides or plain

    def stored(self, array: Array) -> int:
        self.charge(array.length)
        self.storages.append(later(self.opened, array))
        return len(self.storages) - 1

    def scalar(self, value: Any, place: str) -> Inert:
        found = value.item()
        if type(found) not in (bool, int, float, complex):
            return self.lost(place, f"a scalar of {value.dtype}")
        self.losses.append(Loss(place, f"a scalar of NumPy, {value.dtype}, is written as a number"))
        return found

    def plain(self, value: Any, place: str) -> Inert:
        if type(value) is int and value.bit_length() >= _BITS:
            return self.lost(place, f"an integer of {value.bit_length():,} bits")
        return self.lost(place, "a text that is not Unicode") if not _is_text(value) else value

    def elements(self, items: list[Inert], frozen: bool, place: str) -> Inert:
        """PyTorch does not read frozen sets without running them."""
        if frozen:
            self.losses.append(Loss(place, "a frozenset is written as a set"))
        return Elements(items)

    def other(self, node: Node, place: str) -> Inert:
        state: Any = node.state
        if node.codec == "torch.Size":
            return Call(Global("torch", "Size"), (tuple(state),))
        if node.codec == "torch.device":
            kind, _, number = str(state).partition(":")
            return Call(Global("torch", "device"), (kind, int(number)) if number else (kind,))
        if node.codec == "torch.constant" and state.removeprefix("torch.") in _DTYPES:
            return Global("torch", state.removeprefix("torch."))
        if node.codec == "torch.Optimizer":
            return self._optimizer(node, place)
        if node.codec == "torch.LRScheduler":
            self.losses.append(Loss(place, "a schedule is written as its state dict"))
            return Pairs(self.pairs(state["attributes"], place))
        arrays = self.under(node, place)
        if arrays is not None:
            return Call(Global("collections", "OrderedDict"), pairs=arrays.items)
        return self.lost(place, self.side.title(node)) if not self._told(place) else LOST

    def _told(self, place: str) -> bool:
        return bool(self.losses) and self.losses[-1].place == place

    def _optimizer(self, node: Node, place: str) -> Inert:
        """The state dict of an optimizer: the state of each parameter by its number, and the groups."""
        self.losses.append(Loss(place, f"{self.side.title(node)} is written as its state dict"))
        inside = self.side.inside(node)
        children = dict(inside.children) if inside is not None else {}
        states = []
        for number in range(len(children)):
            found = self.value(children.get(f".state[{number}]"), f"{place}.state[{number}]")
            states += [(number, found)] if type(found) in (Pairs, Call) else []
        groups, number = [], 0
        for at, group in enumerate(self._listed(node.state["param_groups"])):
            items = group.state if type(group) is Node and type(group.state) is dict else {}
            count = len(self._listed(items.get("params")))
            kept = {key: item for key, item in items.items() if key != "params"}
            params = ("params", [*range(number, number + count)])
            groups.append(Pairs([*self.pairs(kept, f"{place}.param_groups[{at}]"), params]))
            number += count
        return Pairs([("state", Pairs(states)), ("param_groups", groups)])

    def _listed(self, value: Any) -> list[Any]:
        found: Any = self.side.resolve(value)
        items = found.state if type(found) is Node and type(found.state) is list else []
        return list(map(self.side.resolve, items))


def tensor(
    form: Form,
    storage: tuple[int, int],
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    learns: bool = False,
) -> Call:
    """A tensor that lies in a storage, which is given by its key and its number of entries."""
    (key, count), (kind, dtype) = storage, _TYPES[form.name]
    named = Global("torch", f"{kind}Storage") if kind else Global("torch.storage", "UntypedStorage")
    outside = Outside(("storage", named, str(key), "cpu", count if kind else count * form.size))
    args = (outside, offset, shape, strides, learns, _hooks())
    if kind:
        return Call(Global("torch._utils", "_rebuild_tensor_v2"), args)
    return Call(Global("torch._utils", "_rebuild_tensor_v3"), (*args, Global("torch", dtype)))


def dtype_of(form: Form) -> str:
    """What PyTorch calls a dtype."""
    return _TYPES[form.name][1]


def entries(root: Inert, storages: Mapping[int, Later]) -> list[Entry]:
    """The files of an archive that holds a value, and the storages of its tensors by their keys."""
    text = Writer(2).pieces(root)
    assert len(text) == 1
    fixed = {"data.pkl": text[0], "byteorder": b"little", "version": b"3\n"}
    found = [Entry(f"{_FOLDER}/{name}", content) for name, content in fixed.items()]
    return found + [Entry(f"{_FOLDER}/data/{key}", content) for key, content in storages.items()]


_DTYPES = frozenset(dtype for _, dtype in _TYPES.values())


def _is_text(value: Any) -> bool:
    return type(value) is not str or encodable(value)


def _hooks() -> Call:
    """The hooks of a tensor: none."""
    return Call(Global("collections", "OrderedDict"))
