"""Which versions of a model a page shows, and in which order: what the form above them says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import msgspec

from saver.pages.page import Visit
from saver.repo.choosing import Choice
from saver.repo.refs import period
from saver.repo.version import Version
from saver.serve.refusals import Refusal, shown

FIELDS = ("text", "tag", "since", "until", "metric", "least", "most_value", "where")
"""The fields of the form."""

NUMBERS: dict[str, Callable[[Version], float | None]] = {
    "number": lambda each: each.number,
    "time": lambda each: each.time,
    "step": lambda each: each.step,
    "size": lambda each: each.bytes,
    "added": lambda each: each.bytes_added,
}
"""Columns by which versions are sorted; a metric is `metric:NAME`."""


class Filters(msgspec.Struct, frozen=True):
    """What a form says; "" in a field does not matter."""

    given: dict[str, str]
    sort: str
    up: bool
    """Whether the smallest, or the oldest, comes first."""

    @property
    def plain(self) -> bool:
        """Whether it is all versions, the newest first: those of one page are then read, and no others."""
        return not any(self.given.values()) and self.sort == "number" and not self.up

    def among(self, versions: Sequence[Version]) -> list[Version]:
        """The versions that fit, in order. Raises Refusal, BadNameError or NotFoundError."""
        found = list(versions)
        if self.given["where"]:
            found = Choice.of(self.given["where"], None).among(found)
        for test in self._tests():
            found = [each for each in found if test(each)]
        return self._sorted(found)

    def _tests(self) -> Iterable[Callable[[Version], bool]]:
        given = self.given
        if given["text"]:
            words = given["text"].casefold().split()
            yield lambda each: all(word in _said(each) for word in words)
        if given["tag"]:
            yield lambda each: given["tag"] in each.tags
        if given["since"]:
            begin = period("since", given["since"])[0]
            yield lambda each: each.time >= begin
        if given["until"]:
            end = period("until", given["until"])[1]
            yield lambda each: each.time <= end
        if given["metric"]:
            name = given["metric"]
            least = _bound("least", given["least"], -math.inf)
            most = _bound("most_value", given["most_value"], math.inf)
            yield lambda each: name in each.metrics and least <= each.metrics[name] <= most

    def _sorted(self, versions: list[Version]) -> list[Version]:
        kind, _, metric = self.sort.partition(":")
        read = NUMBERS.get(kind) or _of_metric(metric)
        sign = 1 if self.up else -1

        def key(each: Version) -> tuple[bool, float, int]:
            value = read(each)
            missing = value is None or math.isnan(value)
            return missing, 0.0 if missing or value is None else sign * value, sign * each.number

        return sorted(versions, key=key)


def filters(visit: Visit) -> Filters:
    """The filters that an address has. Raises Refusal."""
    sort = visit.query("sort", "number")[:210]
    if sort not in NUMBERS and not sort.startswith("metric:"):
        raise Refusal("bad-request", f"sort: {shown(sort)} is not a column; write metric:NAME for a metric")
    given = {name: visit.query(name)[:500] for name in FIELDS}
    return Filters(given, sort, visit.query("order") == "up")


def _of_metric(name: str) -> Callable[[Version], float | None]:
    return lambda each: each.metrics.get(name)


def _bound(name: str, text: str, otherwise: float) -> float:
    try:
        return float(text) if text else otherwise
    except ValueError:
        raise Refusal("bad-request", f"{name}: {shown(text)} is not a number") from None


def _said(version: Version) -> str:
    labels = (f"{key}={value}" for key, value in version.labels.items())
    said = (str(version), version.author, version.notes, *version.tags, *labels, *version.parts)
    return "\n".join(said).casefold()
