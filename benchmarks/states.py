"""The states that the large benchmarks save: fp32 tensors of random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a state. `size` is in bytes; `smaller` makes a smaller one of the same kind."""

    name: str
    title: str
    size: int
    count: int = 0

    def smaller(self, factor: int) -> Shape:
        return Shape(self.name, self.title, max(self.size // factor, 1 << 20), self.count // factor)

    def arrays(self) -> State:
        """The state as NumPy arrays, filled in place, so that building it takes no more than its size."""
        generator = np.random.default_rng(0)
        state = {}
        for name, shape in SHAPES[self.name](self):
            array = np.empty(shape, np.float32)
            generator.random(out=array, dtype=np.float32)
            state[name] = array
        return state


def transformer(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A transformer of twelve tensors a block, with as many blocks as the size allows."""
    width = 1024 if shape.size >= 1 << 29 else 128
    vocabulary = 32 * width
    yield "embedding.weight", (vocabulary, width)
    yield "positions.weight", (2 * width, width)
    block = {
        "norm1.weight": (width,),
        "norm1.bias": (width,),
        "attention.in.weight": (3 * width, width),
        "attention.in.bias": (3 * width,),
        "attention.out.weight": (width, width),
        "attention.out.bias": (width,),
        "norm2.weight": (width,),
        "norm2.bias": (width,),
        "feed.in.weight": (4 * width, width),
        "feed.in.bias": (4 * width,),
        "feed.out.weight": (width, 4 * width),
        "feed.out.bias": (width,),
    }
    blocks = max(1, round((shape.size - 4 * 34 * width * width) / (4 * 12 * width * width)))
    for number in range(blocks):
        for name, axes in block.items():
            yield f"blocks.{number}.{name}", axes
    yield "norm.weight", (width,)
    yield "norm.bias", (width,)


def many(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Equal small matrices."""
    rows = max(1, shape.size // shape.count // 512)
    for number in range(shape.count):
        yield f"experts.{number}.weight", (rows, 128)


def one(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A single matrix."""
    yield "weight", (shape.size // 4096, 1024)


SHAPES = {"tensors": transformer, "many": many, "one": one}

TENSORS = Shape("tensors", "1 GB in some 200 tensors", 1_000_000_000)
MANY = Shape("many", "1 GB in 20,000 small tensors", 1_000_000_000, 20_000)
ONE = Shape("one", "one tensor of 4 GB", 4_000_000_000)


def size_of(state: State) -> int:
    """Bytes of all the tensors."""
    return sum(int(item.nbytes) for item in state.values())


def as_torch(state: State) -> State:
    """The same tensors for PyTorch, in the same memory."""
    import torch

    return {name: torch.from_numpy(array) for name, array in state.items()}


def touch(state: State) -> int:
    """Read one byte of every page, so that pages that were only mapped are read."""
    total = 0
    for item in state.values():
        array = item if isinstance(item, np.ndarray) else item.numpy()
        total += int(array.reshape(-1).view(np.uint8)[::4096].sum())
    return total


def equal(state: State, other: State) -> bool:
    """Whether two states have the same names and the same bits."""
    return state.keys() == other.keys() and all(
        np.array_equal(np.asarray(state[name]), np.asarray(other[name])) for name in state
    )
