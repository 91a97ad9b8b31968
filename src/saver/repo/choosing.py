"""Which versions of a model, and in which order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from saver.direction import better
from saver.errors import NotFoundError, kind_of
from saver.repo.conditions import NUMBERS, Condition, parse_condition
from saver.repo.finding import NAMED, some
from saver.repo.refs import BadNameError, parse_extreme, unclear_direction
from saver.repo.version import Version


class Order(msgspec.Struct, frozen=True):
    """An order by a number, the largest or the smallest first; `metric` if it is that of a metric. If nothing
    tells whether more or less of that is better, `largest` is None: then only its absence can be reported."""

    read: Callable[[Version], float | None]
    largest: bool | None
    metric: str = ""


def parse_order(text: str) -> Order:
    """`auc` or `best:auc`, the best first; `worst:auc`; `max:NAME` or `min:NAME`, the largest or smallest
    first, also for the fields number, step, time, size and added, of which `step` means `max:step`. Raises
    BadNameError."""
    which, colon, name = text.partition(":")
    name = name if colon and which in ("max", "min") else text
    if name in NUMBERS or name == "time":
        read = NUMBERS.get(name, lambda version: version.time)
        return Order(read, not (colon and which == "min"))
    wanted, largest = parse_extreme(text), None
    if wanted is not None:
        largest = wanted.largest
    elif not text.endswith(":"):
        wanted, mode = parse_extreme(f"max:{text}"), better(text)
        largest = None if mode is None else mode == "max"
    if wanted is None:
        raise BadNameError(f"{text[:200]!r} is not an order; write the name of a metric, or of a field")
    metric = wanted.metric
    return Order(lambda version: version.metrics.get(metric), largest, metric)


class Choice(msgspec.Struct, frozen=True):
    """The versions that satisfy `where`, in this `order`; None: all of them, by number."""

    where: Condition | None
    order: Order | None

    @classmethod
    def of(cls, where: str | None, sort: str | None) -> Choice:
        """The choice that a caller described. Raises TypeError or BadNameError."""
        return cls(_parsed("where", where, parse_condition), _parsed("sort", sort, parse_order))

    def among(self, versions: Sequence[Version], last: int | None = None) -> list[Version]:
        """The chosen ones of a model's versions, which come sorted by number; with `last`, that many of the
        newest. Raises NotFoundError for a name that is that of no metric or label of any version."""
        self._demand_names(versions)
        where = self.where
        found = [version for version in versions if where is None or where.holds(version)]
        found = found if last is None else found[len(found) - last if last < len(found) else 0 :]
        return found if self.order is None else sorted(found, key=_key(self.order))

    def _demand_names(self, versions: Sequence[Version]) -> None:
        metrics = {name for version in versions for name in version.metrics}
        labels = {key for version in versions for key in version.labels}
        unknown = list[str]()
        for name, text in sorted(self.where.names) if self.where is not None else ():
            if name in metrics and text and name not in labels:
                raise BadNameError(f"{name!r} is a metric, and {text[:80]!r} is not a number")
            unknown += [] if name in metrics or name in labels else [name]
        if self.order is not None and self.order.metric and self.order.metric not in metrics:
            unknown.append(self.order.metric)
        if unknown and versions:
            raise NotFoundError(
                f"no version of {versions[0].model} has a metric or label {unknown[0]!r}; there are "
                f"{_told('metrics', metrics)}, {_told('labels', labels)}"
            )
        if self.order is not None and self.order.largest is None:
            metric = self.order.metric
            raise BadNameError(f"sort: {unclear_direction(metric, metric)}")


ALL = Choice(None, None)


P = TypeVar("P")


def _parsed(name: str, text: str | None, parse: Callable[[str], P]) -> P | None:
    """What an argument says. Errors name it."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"{name}: {kind_of(text)} is not a text; pass one such as 'auc > 0.8' or 'auc'")
    try:
        return parse(text)
    except BadNameError as error:
        raise BadNameError(f"{name}: {error}") from None


def _told(what: str, names: Iterable[str]) -> str:
    found = sorted(names)
    return f"{what}: {some(found[:NAMED], len(found))}" if found else f"no {what}"


def _key(order: Order) -> Callable[[Version], tuple[bool, float, int]]:
    """Finite values first, the first of equal ones first, as a ref such as `m@best:auc` picks one."""
    sign = -1 if order.largest else 1

    def key(version: Version) -> tuple[bool, float, int]:
        value = order.read(version)
        counts = value is not None and math.isfinite(value)
        return not counts, sign * value if value is not None and counts else 0.0, version.number

    return key
