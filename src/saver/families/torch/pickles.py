"""How PyTorch's tensors, modules and small values lie in files of `torch.save`; does not import PyTorch."""

from __future__ import annotations

import re
from typing import Any

from saver.codec import Encoder
from saver.families.torch.pickled_storages import dtype_of, integers, item_size, seen
from saver.families.torch.pickled_tensors import READERS as TENSORS
from saver.families.torch.pickled_tensors import ChunksPickled, StoragePickled
from saver.pickled import (
    Call,
    Chunks,
    Elements,
    NotReadError,
    Pairs,
    Pickled,
    Storage,
    attributes_of,
    sequence,
)
from saver.tree import Value

_HELD = ("_parameters", "_buffers", "_modules")
_FLAGS = frozenset((
    "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs",
))  # fmt: skip
_LEFT_OUT = frozenset((*_HELD, "_non_persistent_buffers_set", "_compiled_call_impl"))
_REBUILT = frozenset(("_flat_weights", "_flat_weight_refs"))
_CONSTANT = re.compile(
    r"(u?int\d+|float\d+(_\w+)?|bfloat16|complex\d+|bool|half|float|double|short|int|long|cfloat|cdouble"
    r"|strided|sparse_\w+|contiguous_format|channels_last(_3d)?|preserve_format|per_\w+)"
)
_SHORT = {
    "half": "float16", "float": "float32", "double": "float64", "short": "int16", "int": "int32",
    "long": "int64", "cfloat": "complex64", "cdouble": "complex128",
}  # fmt: skip


class ConstantPickled(Pickled):
    """Dtypes, layouts and memory formats, which pickles name as they name functions."""

    name = "torch.constant"
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        name = (
            obj.name if type(obj) is not Call else str(obj.args[0] if obj.args else "").removeprefix("torch.")
        )
        if not _CONSTANT.fullmatch(name):
            raise NotReadError(f"{name[:40]!r} is not a constant of PyTorch")
        return f"torch.{_SHORT.get(name, name)}"


class SizePickled(Pickled):
    """Shapes."""

    name = "torch.Size"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [*integers(obj)]


class DevicePickled(Pickled):
    """Devices, by kind and number."""

    name = "torch.device"
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        kind, number = (*obj.args, None, None)[:2]
        if type(kind) is not str or not (number is None or type(number) is int):
            raise NotReadError("a device has no name")
        return kind if number is None else f"{kind}:{number}"


class ModulePickled(Pickled):
    """Modules: parameters, buffers, submodules, attributes; hooks have no data form."""

    name = "torch.Module"
    early = True

    def class_of(self, obj: Any) -> str:
        return f"{obj.function.module}:{obj.function.name}"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = attributes_of(obj)
        left = _LEFT_OUT | _REBUILT if "_all_weights" in own else _LEFT_OUT
        attributes: dict[str, Any] = {}
        for name, item in own.items():
            if name.endswith("_hooks") or name in _FLAGS:
                if _items(item):
                    raise NotReadError(
                        f"it has hooks ({name}), which are functions; remove them, and save it again"
                    )
            elif name not in left:
                attributes[name] = item
        state: dict[str, Value] = {"attributes": encoder.fields(attributes)}
        for kind in _HELD:
            held = dict(_items(own.get(kind)))
            if not all(type(name) is str for name in held):
                raise NotReadError(f"{kind} is not a dict with names")
            if held:
                state[kind[1:]] = {
                    name: encoder(item, int(name) if name.isdecimal() else name)
                    for name, item in held.items()
                }
        lost = own.get("_non_persistent_buffers_set")
        if type(lost) is Elements and lost.items:
            state["non_persistent"] = sorted(str(name) for name in lost.items)
        return state


def _items(value: Any) -> list[tuple[Any, Any]]:
    """The items of a dict, ordered or not."""
    if value is None:
        return []
    if type(value) is Pairs:
        return value.items
    if type(value) is Call and value.function.name == "OrderedDict":
        pairs = [sequence(item, "an item") for arg in value.args for item in sequence(arg, "a dict")]
        return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2] + value.pairs
    raise NotReadError("what a module holds is not a dict")


_MODULE, _CONSTANTS = ModulePickled(), ConstantPickled()
KINDS: dict[type, Pickled] = {Storage: StoragePickled(), Chunks: ChunksPickled()}
READERS: dict[str, Pickled] = {
    **TENSORS,
    "torch:Size": SizePickled(),
    "torch:device": DevicePickled(),
    "torch.serialization:_get_layout": _CONSTANTS,
}


def value(name: str) -> Pickled | None:
    """What a name that is held as a value becomes: a dtype, for example."""
    module, _, what = name.partition(":")
    return _CONSTANTS if module == "torch" and _CONSTANT.fullmatch(what) else None


def claims(call: Call) -> Pickled | None:
    """Modules of PyTorch."""
    return strangers(call) if call.function.module.startswith("torch.nn.") else None


def strangers(call: Call) -> Pickled | None:
    """Modules of the user's classes: instances with parameters, buffers and submodules."""
    if not call.made or call.args or type(call.state) is not Pairs:
        return None
    names = {key for key, _ in call.state.items if type(key) is str}
    return _MODULE if names.issuperset(_HELD) else None


__all__ = ["KINDS", "READERS", "claims", "dtype_of", "integers", "item_size", "seen", "strangers", "value"]
