"""What an attacker can make of a module: every entry of its `__dict__`, and of its submodules, changed."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

Change = Callable[[Any], None]


@dataclass(frozen=True)
class Mutation:
    """Where, what, and a function that does it to a module like the one that it was found in."""

    place: str
    value: str
    apply: Change


_SIZES = (0, -1, 1, 2, 3, 5, 7, 8, 33, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, -(2**31), -(2**63))
_NUMBERS = (*_SIZES, float("nan"), float("inf"), -1.0, 0.0, 0.5, 2.0, 1e308, 2**64)
_FEW = (0, -1, 1, 7, 2**31, 2**62, -(2**63))
_TEXTS = ("", "zeros", "reflect", "replicate", "circular", "constant", "same", "valid", "mean", "sum", "max",
          "none", "batchmean", "tanh", "relu", "gelu", "nearest", "linear", "bilinear", "bicubic",
          "trilinear", "area", "nearest-exact", "LSTM", "GRU", "RNN_TANH", "RNN_RELU",
          "weight_ih_l0")  # fmt: skip


def _odd() -> list[Any]:
    """Values of kinds that nobody expects."""
    return [
        None, True, False, "x", (), [], (2,), [2, 2], (0, 0), (-1, -1), (2, 1, 0), {}, np.int64(0),
        np.int64(-1),
        np.int64(2**62), np.float64(2), torch.tensor(0), torch.tensor(-1), torch.tensor(2**62),
        torch.tensor(2.0), torch.tensor([2]), torch.empty(0), torch.rand(3, 4), torch.Size([2, 0]),
        torch.relu, torch.float64, nn.Identity(),
    ]  # fmt: skip


def _of_sequence(value: Any) -> Iterator[Any]:
    kind = list if isinstance(value, list) else tuple
    for at, item in enumerate(value):
        others: tuple[Any, ...] = _TEXTS if isinstance(item, str) else (*_NUMBERS, None, "x")
        if isinstance(item, (list, tuple)):
            others = tuple(_of_sequence(item))
        for other in others:
            yield kind([*value[:at], other, *value[at + 1 :]])
    for number in _SIZES:
        yield kind([number] * len(value))
        yield number
    yield kind([*value, *value])
    yield kind([*value, *value[-1:]])
    yield kind(value[:-1])
    yield kind(value[1:])
    yield kind(reversed(value))


def values(value: Any) -> Iterator[Any]:
    """What may stand in the place of an attribute's value."""
    yield from _odd()
    if isinstance(value, str):
        yield from _TEXTS
    elif isinstance(value, (list, tuple)):
        yield from _of_sequence(value)
    elif isinstance(value, torch.Tensor):
        yield from (item for _, item in tensors(value))
    else:
        yield from _NUMBERS
        if value is None:
            yield from _TEXTS


def tensors(tensor: Any) -> Iterator[tuple[str, Any]]:
    """Tensors of other shapes, strides, dtypes and layouts."""
    plain = tensor.detach()
    shape = list(plain.shape)
    shapes: list[list[int]] = [[0], [], [1], [3], [64], [2, 2], [0, 4], [4, 0], shape + [1],
                                [1] + shape, shape[::-1],
              [plain.numel()], [n + 1 for n in shape], [2 * n for n in shape], [0 for _ in shape],
              [1 for _ in shape], shape[1:], shape[:-1]]  # fmt: skip
    for at, size in enumerate(shape):
        shapes += [[*shape[:at], n, *shape[at + 1 :]] for n in (0, 1, size - 1, size + 1, 2 * size, 97)]
    for found in shapes:
        if found != shape and all(n >= 0 for n in found):
            yield f"shape {found}", torch.rand(found).to(plain.dtype)
    yield "expanded", torch.rand([1] * len(shape)).to(plain.dtype).expand(shape)
    yield "expanded far", torch.rand(1).to(plain.dtype).expand([2**31 + 1, *[1] * (len(shape) - 1)])
    yield "empty and wide", torch.empty([0, 2**40] if len(shape) < 3 else [0, 2**40, 1]).to(plain.dtype)
    if len(shape) > 1:
        yield "transposed", plain.t().contiguous().t() if len(shape) == 2 else plain.transpose(0, -1)
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
                  torch.int8,
                  torch.uint8, torch.bool, torch.complex64, torch.complex32,
                  torch.float8_e4m3fn):  # fmt: skip
        if dtype is not plain.dtype:
            yield str(dtype), plain.to(dtype)
    if not plain.dtype.is_floating_point:
        for number in (-1, 2**62, -(2**63)):
            yield f"full of {number}", torch.full_like(plain, number)
    else:
        yield "nan", torch.full_like(plain, float("nan"))
    yield "sparse", plain.to_sparse()
    if len(shape) == 2 and plain.dtype.is_floating_point:
        yield "csr", plain.to_sparse_csr()
        yield "csc", plain.to_sparse_csc()
    yield "conj", plain.to(torch.complex64).conj()
    if plain.dtype.is_floating_point:
        yield "neg", torch._neg_view(plain)


_OWN = frozenset(vars(nn.Module())) - {"training"}


def _show(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"tensor {str(value.dtype)[6:]} {list(value.shape)}{value if value.numel() == 1 else ''}"
    return f"{type(value).__name__} {str(value)[:60]}"


def _put(path: str, kind: str | None, name: str, value: Any) -> Change:
    def apply(module: Any) -> None:
        own = module.get_submodule(path).__dict__
        (own if kind is None else own[kind])[name] = copy.copy(value) if isinstance(value, list) else value

    return apply


def _drop(path: str, kind: str | None, name: str) -> Change:
    def apply(module: Any) -> None:
        own = module.get_submodule(path).__dict__
        del (own if kind is None else own[kind])[name]

    return apply


def singles(module: Any) -> Iterator[Mutation]:
    """Every entry changed by itself."""
    for path, part in module.named_modules():
        own = part.__dict__
        for name, value in own.items():
            if name in _OWN or callable(value):
                continue
            where = f"{path}.{name}"
            for other in values(value):
                yield Mutation(where, _show(other), _put(path, None, name, other))
            yield Mutation(where, "dropped", _drop(path, None, name))
        for kind in ("_parameters", "_buffers"):
            for name, tensor in own[kind].items():
                yield from _of_tensor(path, kind, name, tensor)
        for name in own["_modules"]:
            for other in (None, nn.Identity(), nn.Linear(4, 5), nn.Linear(7, 4), nn.Linear(0, 0), nn.ReLU(),
                          nn.LayerNorm(7), nn.LSTM(4, 4), nn.MultiheadAttention(8, 4)):  # fmt: skip
                yield Mutation(f"{path}.{name}", _show(other), _put(path, "_modules", name, other))
            yield Mutation(f"{path}.{name}", "dropped", _drop(path, "_modules", name))


def _of_tensor(path: str, kind: str, name: str, tensor: Any) -> Iterator[Mutation]:
    where = f"{path}.{name}"
    samples = [torch.rand(4), torch.rand(3), torch.rand(6, 4), torch.rand(0)]
    found = tensors(tensor) if tensor is not None else ((_show(t), t) for t in samples)
    for label, other in found:
        held = other
        if kind == "_parameters":
            held = nn.Parameter(other, other.dtype.is_floating_point or other.dtype.is_complex)
        yield Mutation(where, label, _put(path, kind, name, held))
        yield Mutation(where, f"attribute, {label}", _put(path, None, name, other))
    yield Mutation(where, "None", _put(path, kind, name, None))
    yield Mutation(where, "dropped", _drop(path, kind, name))
    yield Mutation(where, "attribute 3", _put(path, None, name, 3))
    yield Mutation(where, "attribute None", _put(path, None, name, None))


def _slots(module: Any) -> Iterator[tuple[str, list[Mutation]]]:
    """For every entry, fewer changes of it: material for pairs."""
    for path, part in module.named_modules():
        own = part.__dict__
        for name, value in own.items():
            if name in _OWN or callable(value):
                continue
            others: list[Any] = [*_FEW, None]
            if isinstance(value, str):
                others = list(_TEXTS)
            elif isinstance(value, bool):
                others = [not value]
            elif isinstance(value, float):
                others = [0.0, float("nan"), -1.0, 1e308]
            elif isinstance(value, (list, tuple)):
                kind = type(value) if type(value) in (list, tuple) else tuple
                others += [kind([n] * len(value)) for n in _FEW] + [kind(value[:-1]), kind([*value, *value])]
            where = f"{path}.{name}"
            yield where, [Mutation(where, _show(v), _put(path, None, name, v)) for v in others]
        for kind in ("_parameters", "_buffers"):
            for name, tensor in own[kind].items():
                yield (
                    f"{path}.{name}",
                    [m for m in _of_tensor(path, kind, name, tensor) if "attr" not in m.value],
                )


def groups(module: Any, count: int, seed: int) -> Iterator[Mutation]:
    """Changes of two or three entries at once: a sample."""
    draw = random.Random(seed)
    slots = [changes for _, changes in _slots(module) if changes]
    if len(slots) < 2:
        return
    for _ in range(count):
        chosen = draw.sample(slots, min(len(slots), draw.choice((2, 2, 2, 3, 4))))
        changes = [draw.choice(slot) for slot in chosen]
        yield Mutation(
            " & ".join(c.place for c in changes), " & ".join(c.value for c in changes), _together(changes)
        )


def _together(changes: list[Mutation]) -> Change:
    def apply(module: Any) -> None:
        for change in changes:
            change.apply(module)

    return apply


def sizes(module: Any, count: int, seed: int) -> Iterator[Mutation]:
    """Weights of one size too many or too few, and numbers that go with them: plausible lies."""
    draw = random.Random(seed)
    for _ in range(count):
        old, new = draw.choice((2, 3, 4, 6, 8)), draw.choice((0, 1, 2, 5, 8, 64))
        yield Mutation("sizes", f"{old} -> {new}, {draw.random():.6f}", _resized(old, new, draw.random()))


def _resized(old: int, new: int, seed: float) -> Change:
    def apply(module: Any) -> None:
        draw = random.Random(seed)
        for part in module.modules():
            own = part.__dict__
            for name, value in own.items():
                if type(value) is int and value == old and draw.random() < 0.7:
                    own[name] = new
            for kind in ("_parameters", "_buffers"):
                for name, tensor in own[kind].items():
                    if tensor is not None and draw.random() < 0.7:
                        shape = [n * new // old if n % old == 0 else n for n in tensor.shape]
                        held = torch.rand(shape).to(tensor.dtype)
                        own[kind][name] = nn.Parameter(held) if kind == "_parameters" else held

    return apply
