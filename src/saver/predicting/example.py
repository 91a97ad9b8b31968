"""What a caller says of an example: rows of inputs, and what is known of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from saver.page import Said

TEXT_LIMIT = 2000


class Tolerance(Said, msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """By how much numbers may differ and still count as the same: `absolute + relative * |recorded|`."""

    absolute: float = 0.0
    relative: float = 0.0

    def _line(self) -> str:
        return self.text()

    def text(self) -> str:
        """`within 1e-06 + 1e-05 of it`, or `exactly`."""
        if not self.absolute and not self.relative:
            return "exactly"
        parts = [f"{self.absolute:g}"] * bool(self.absolute)
        return f"within {' + '.join(parts + [f'{self.relative:g} of it'] * bool(self.relative))}"


EXACT = Tolerance()


def is_sound(tolerance: Tolerance) -> bool:
    """Whether both are numbers that are finite and not negative."""
    return all(
        isinstance(size, (int, float)) and math.isfinite(size) and size >= 0
        for size in (tolerance.absolute, tolerance.relative)
    )


class Example:
    """An example with what is known of its fields.

    `data` holds rows as the model takes them. `units` and `descriptions` are texts by the name of a field of
    inputs or outputs; `shapes` say which axes are free, as in `{"tokens": (None, None)}`. `tolerance` says by
    how much predictions may differ when they are checked, by default not at all: a number (absolute), or a
    `Tolerance`.
    """

    def __init__(
        self, data: Any, *, units: Mapping[str, str] | None = None,
        descriptions: Mapping[str, str] | None = None,
        shapes: Mapping[str, Sequence[int | None]] | None = None,
        tolerance: float | Tolerance = EXACT,
    ) -> None:  # fmt: skip
        self.data = data
        self.given: dict[str, dict[str, Any]] = {}
        for what, texts in (("unit", units), ("description", descriptions)):
            for name, text in _mapping(f"{what}s", texts).items():
                if not isinstance(text, str) or len(text) > TEXT_LIMIT:
                    raise ValueError(f"{what}s[{name!r}]: pass a text of at most {TEXT_LIMIT:,} characters")
                self.given.setdefault(name, {})[what] = text
        for name, shape in _mapping("shapes", shapes).items():
            self.given.setdefault(name, {})["shape"] = tuple(shape)
        self.tolerance = tolerance if isinstance(tolerance, Tolerance) else Tolerance(absolute=tolerance)
        if not is_sound(self.tolerance):
            raise ValueError("tolerance: pass a number that is not negative, or saver.predicting.Tolerance")


def _mapping(name: str, given: Any) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise TypeError(f"{name}: pass a dict by the names of fields")
    return given
