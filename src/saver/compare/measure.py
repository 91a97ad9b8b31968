"""Reads the arrays that are not known to be equal, and measures how much they changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from saver.compare.amounts import Bytes, amount, counted, strings_changed
from saver.compare.difference import Amount, ArrayChange, ArrayInfo
from saver.compare.walk import ArrayPair
from saver.errors import IncompatibleError
from saver.opened import Opened
from saver.reading.arrays import Array, in_c_order
from saver.reading.forms import STRINGS, TEXT, values
from saver.reading.texts import both
from saver.storage import Progress
from saver.threads import Threads

THREADS = 2

FEW = 8
"""Arrays of at most this many entries are reported with their values."""

TEXT_LIMIT = 1 << 20
"""Strings of at most this many bytes are reported where they differ."""

BUDGET = 8
"""How many times the bytes of the two versions may be read; honest ones need two at most."""


def measure(
    pairs: Sequence[ArrayPair], old: Opened, new: Opened, progress: Progress | None
) -> Iterator[ArrayChange | None]:
    """The change of every pair, in order; None for those that turn out to be equal."""
    before, after = _Source(old, (pair.old for pair in pairs)), _Source(new, (pair.new for pair in pairs))
    total = sum(map(_length, pairs))
    done = 0
    with Threads(THREADS) as pool:
        for pair in pairs:
            found = _amount(pair, before, after, pool)
            done += _length(pair)
            if progress is not None and total:
                progress(done, total)
            same_shape = pair.old is not None and pair.new is not None and pair.old.shape == pair.new.shape
            if found is not None and not found.changed and same_shape:
                yield None
            else:
                yield ArrayChange(pair.path, *_infos(pair, before, after), found)


class _Source:
    """The bytes of one version's arrays, within `BUDGET`: many arrays can share a tensor."""

    def __init__(self, view: Opened, arrays: Iterable[Array | None]) -> None:
        self._view = view
        whole = [piece for array in arrays if array is not None for piece in (array.pieces or (array,))]
        names = {name for array in whole for name in (array.name, array.ends) if name}
        self._left = BUDGET * sum(view.tensors.info(name).length for name in names)
        self._last: tuple[str, Bytes] = ("", np.empty(0, np.uint8))

    def afford(self, length: int) -> bool:
        """Take `length` bytes from the budget; False if it has fewer left."""
        self._left -= length
        return self._left >= 0

    def read(self, array: Array) -> Bytes:
        """The bytes of an array, in the order in which they are stored."""
        if array.pieces:
            return np.concatenate([self.read(piece) for piece in array.pieces])
        if not array.name:
            return np.frombuffer(array.data, np.uint8)
        raw = self.tensor(array.name)[array.offset : array.offset + array.length]
        if raw.size != array.length:
            raise IncompatibleError(
                f"{self._view.where}: {array.name!r} has {raw.size} bytes, but should have "
                f"{array.length}; this version of Saver did not save it, so it cannot be compared"
            )
        return raw

    def tensor(self, name: str) -> Bytes:
        """The bytes of a whole tensor; the last one is kept, because its views follow each other."""
        if self._last[0] != name:
            self.afford(self._view.tensors.info(name).length)
            self._last = name, self._view.tensors.read(name)
        return self._last[1]


def _entries(pair: ArrayPair) -> int | None:
    """How many entries can be compared, from the first on; None if the arrays are not comparable."""
    old, new = pair.old, pair.new
    if old is None or new is None or old.form != new.form:
        return None
    if old.shape == new.shape:
        return old.count
    grown = old.shape[1:] == new.shape[1:] and len(old.shape) == len(new.shape)
    plain = old.strides is None and new.strides is None
    return min(old.count, new.count) if grown and plain else None


def _length(pair: ArrayPair) -> int:
    """How many bytes are compared, of both versions together."""
    entries = _entries(pair)
    return 0 if entries is None or pair.old is None else 2 * entries * pair.old.form.size


def _amount(pair: ArrayPair, old: _Source, new: _Source, pool: Executor) -> Amount | None:
    entries = _entries(pair)
    if entries is None or pair.old is None or pair.new is None:
        return None
    if pair.old.form == STRINGS:
        return _strings_amount(pair.old, pair.new, entries, old, new)
    length = entries * pair.old.form.size
    for array, source in ((pair.old, old), (pair.new, new)):
        if (array.name or array.pieces) and not source.afford(array.length if array.pieces else length):
            return None
    before, after = old.read(pair.old), new.read(pair.new)
    if pair.old.strides != pair.new.strides:
        before, after = in_c_order(before, pair.old), in_c_order(after, pair.new)
    return amount(before[:length], after[:length], pair.old.form, pool)


def _strings_amount(old: Array, new: Array, entries: int, before: _Source, after: _Source) -> Amount | None:
    sides = (old, before), (new, after)
    ends = [source.tensor(array.ends) for array, source in sides]
    texts = [source.tensor(array.name) for array, source in sides]
    if not all(source.afford(text.size) for text, (_, source) in zip(texts, sides, strict=True)):
        return None
    return counted(entries, strings_changed(texts, ends, entries))


def _infos(pair: ArrayPair, old: _Source, new: _Source) -> tuple[ArrayInfo | None, ArrayInfo | None]:
    """Both arrays, with their values if they are few: in six digits if that shows the difference."""
    few = _few(pair.old, old), _few(pair.new, new)
    texts = _written(pair.old, few[0], "{:.6g}"), _written(pair.new, few[1], "{:.6g}")
    if texts[0] == texts[1]:
        texts = _written(pair.old, few[0], "{!r}"), _written(pair.new, few[1], "{!r}")
    before, after = both(*texts)
    return (
        None if pair.old is None else ArrayInfo(pair.old.form.name, pair.old.shape, before),
        None if pair.new is None else ArrayInfo(pair.new.form.name, pair.new.shape, after),
    )


def _few(array: Array | None, source: _Source) -> list[Any] | None:
    if array is None or array.form == STRINGS or not source.afford(0):
        return None
    if not 0 < array.count <= (TEXT_LIMIT if array.form == TEXT else FEW):
        return None
    return values(in_c_order(source.read(array), array), array.form)


def _written(array: Array | None, few: list[Any] | None, digits: str) -> str | None:
    if array is None or few is None:
        return None
    return repr(few[0]) if array.form == TEXT else nested(few, array.shape, digits)


def nested(items: list[Any], shape: tuple[int, ...], digits: str) -> str:
    """Values as nested lists of this shape."""
    if not shape:
        (item,) = items
        return digits.format(item) if type(item) is float else repr(item)
    size = math.prod(shape[1:])
    rows = [items[at * size : (at + 1) * size] for at in range(shape[0])]
    return f"[{', '.join(nested(row, shape[1:], digits) for row in rows)}]"
