"""Makes a hostile file smaller for as long as it does the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from forge import File, take_apart
from mutations import is_node, spots

Reproduces = Callable[[bytes], bool]


def shrunk(path: Path, folder: Path, reproduces: Reproduces, seconds: float) -> bytes:
    """The bytes of the smallest file found in that time that still does it."""
    best = path.read_bytes()
    try:
        file = take_apart(path)
    except (ValueError, KeyError, RecursionError):
        return best
    until = time.monotonic() + seconds
    again = True
    while again and time.monotonic() < until:
        again = False
        for smaller in _smaller(file):
            if time.monotonic() > until:
                break
            data = _written(smaller, folder)
            if (
                data is not None
                and len(data) <= len(best)
                and smaller.manifest != file.manifest
                and reproduces(data)
            ):
                best, file, again = data, smaller, True
                break
    data = _written(_without_spare_tensors(file), folder)
    return data if data is not None and len(data) < len(best) and reproduces(data) else best


def _written(file: File, folder: Path) -> bytes | None:
    try:
        return file.write(folder / "shrinking.saver").read_bytes()
    except (ValueError, RecursionError, TypeError):
        return None


def _smaller(file: File) -> Iterator[File]:
    """Copies that lack something: a node stands in the place of the whole, then pieces are gone, large ones
    first."""
    for number, (holder, key) in enumerate(spots(file)):
        if is_node(holder[key]) and "$ref" not in repr(holder[key]) and number < 400:
            copy = file.copy()
            held, at = spots(copy)[number]
            copy.manifest["whole"] = False
            copy.manifest["parts"] = {"model": {"tree": held[at], "hash": "0" * 64, "packages": []}}
            yield copy
    sizes = sorted(
        ((len(repr(holder[key])), number) for number, (holder, key) in enumerate(spots(file))), reverse=True
    )
    for _, number in sizes[:300]:
        for change in (_drop, _null):
            copy = file.copy()
            held, at = spots(copy)[number]
            if held is not copy.manifest["parts"] or len(held) > 1:
                change(held, at)
                yield copy


def _drop(holder: Any, key: Any) -> None:
    del holder[key]


def _null(holder: Any, key: Any) -> None:
    holder[key] = None


def _without_spare_tensors(file: File) -> File:
    copy, text = file.copy(), repr(file.manifest["parts"])
    data, tensors = b"", {}
    for name, slot in file.tensors.items():
        if repr(name) in text:
            begin, end = slot["data_offsets"]
            tensors[name] = {**slot, "data_offsets": [len(data), len(data) + end - begin]}
            data += file.data[begin:end]
    copy.tensors, copy.data = tensors, data
    copy.rehash()
    return copy
