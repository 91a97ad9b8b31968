"""The report of a restore: the names that matched, and those that did not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from saver.human import size
from saver.page import Facts, Page, Row, Said, Shown, Table

_COLUMNS = ("part", "into", ">matched", ">missing", ">unexpected", ">mismatched", ">converted")

SHOWN = 4
"""Messages list this many names of a kind; the report lists all."""


class Mismatch(Said, msgspec.Struct, frozen=True):
    """A name on both sides whose value cannot be copied.

    `saved` and `target` are shapes; `why` says what is wrong if it is not the shape.
    """

    name: str
    saved: tuple[int, ...]
    target: tuple[int, ...]
    why: str = ""

    def _line(self) -> str:
        return f"{self.name} ({self.why or f'saved {list(self.saved)}, here {list(self.target)}'})"


class Conversion(Said, msgspec.Struct, frozen=True):
    """A value that was converted to the dtype of the target."""

    name: str
    saved: str
    target: str

    def _line(self) -> str:
        return f"{self.name} ({self.saved} to {self.target})"

    def refused(self, shape: tuple[int, ...]) -> Mismatch:
        """Where nothing may be converted, because the target must become what was saved."""
        return Mismatch(self.name, shape, shape, f"saved as {self.saved}, here {self.target}")


class PartReport(Shown, msgspec.Struct, frozen=True):
    """How a part fits its target, of the class `into`. True if nothing is wrong.

    `matched` and `missing` are names in the target; `unexpected` and `left_out` are names that were saved.
    `left_out` are those that the caller's `names` drop. `kept` are attributes that were saved otherwise and
    that a transfer leaves as they are here: `dropout.p`, `training`, `fc.weight.requires_grad`. `renaming` is
    an entry for `names` that would match more.
    """

    into: str
    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[Mismatch, ...] = ()
    converted: tuple[Conversion, ...] = ()
    left_out: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    renaming: tuple[str, str] | None = None

    def __bool__(self) -> bool:
        return not (self.missing or self.unexpected or self.mismatched)

    def _line(self) -> str:
        return f"{self.into}: {'; '.join(_details(self)) or f'all {len(self.matched):,} matched'}"

    def _page(self) -> Page:
        return [Table("", _COLUMNS[1:], [_counts(self)]), Facts("", {"": "; ".join(_details(self))})]

    def told(self) -> Iterator[str]:
        """What is wrong, one phrase for each kind."""
        if self.mismatched:
            yield f"{len(self.mismatched)} cannot be copied: {listed(self.mismatched)}"
        if self.missing:
            yield f"{len(self.missing)} were not saved: {listed(self.missing)}"
        if self.unexpected:
            yield f"{len(self.unexpected)} are not in the target: {listed(self.unexpected)}"


class Report(Shown, msgspec.Struct, frozen=True):
    """What was restored from `where`, part by part. True if every name of every part matched.

    `bytes` is the size of the tensors that were read. Its `str` is a table.
    """

    where: str
    parts: dict[str, PartReport]
    bytes: int = 0

    def __bool__(self) -> bool:
        return all(self.parts.values())

    def _line(self) -> str:
        wrong = [name for name, part in self.parts.items() if not part]
        matched = f"; what did not match is in {', '.join(wrong)}" if wrong else ", and everything matched"
        return f"{self.where}: {', '.join(self.parts)} restored, {size(self.bytes)}{matched}"

    def _page(self) -> Page:
        rows = [(name, *_counts(part)) for name, part in self.parts.items()]
        wrong = {name: "; ".join(_details(part)) for name, part in self.parts.items()}
        return [Table(f"{self.where}: {size(self.bytes)} restored", _COLUMNS, rows), Facts("", wrong)]


def _counts(part: PartReport) -> Row:
    counts = (part.matched, part.missing, part.unexpected, part.mismatched, part.converted)
    return part.into.rpartition(".")[2], *(f"{len(items):,}" for items in counts)


def _details(part: PartReport) -> Iterator[str]:
    yield from part.told()
    if part.converted:
        yield f"{len(part.converted)} were converted: {listed(part.converted)}"
    if part.kept:
        yield f"{len(part.kept)} were saved otherwise and stay as they are here: {listed(part.kept)}"
    if part.left_out:
        yield f"{len(part.left_out)} were left out: {listed(part.left_out)}"


def listed(items: Iterable[object]) -> str:
    """The first few items, and how many more there are."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - SHOWN:,} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more
