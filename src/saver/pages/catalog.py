"""The models of a store, for search at once: what the log says of them, read when the log has changed."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from itertools import islice
from typing import Any

from saver import Saver, documents
from saver.repo.history import Summary
from saver.repo.version import plain_metric

DRAWN = 40
"""Versions whose metric is drawn."""

ORDERS: dict[str, Callable[[Summary], Any]] = {
    "name": lambda each: each.model,
    "newest": lambda each: -each.newest.time,
    "versions": lambda each: -each.versions,
    "size": lambda each: -each.newest.bytes,
    "added": lambda each: -each.bytes_added,
}
"""How models can be sorted."""


class Catalog:
    """The summaries of a store, as of the newest record of its log."""

    def __init__(self, store: Saver) -> None:
        self._store, self._lock = store, threading.Lock()
        self._head = -1
        self._models: list[Summary] = []
        self._texts: list[str] = []
        self._trends: dict[tuple[str, str], documents.Trend | None] = {}

    def models(self) -> list[Summary]:
        """All of them, by name."""
        return self._read()[0]

    def found(self, text: str, order: str) -> list[Summary]:
        """Those that have each word in their name, tags, labels, notes or author, whatever the case."""
        models, texts = self._read()
        words = text.casefold().split()
        chosen = [each for each, said in zip(models, texts, strict=True) if all(w in said for w in words)]
        return chosen if order == "name" else sorted(chosen, key=ORDERS[order])

    def _read(self) -> tuple[list[Summary], list[str]]:
        repo = self._store._repo
        with self._lock:
            repo.open()
            if repo.state.head != self._head:
                head = repo.state.head
                self._models = list(self._store.summaries())
                self._texts = [_said(each) for each in self._models]
                self._trends.clear()
                self._head = head
            return self._models, self._texts

    def trend(self, found: Summary, metric: str) -> documents.Trend | None:
        """A metric of the newest versions, or if that is "" the first one that the newest version has."""
        metric = metric or next(iter(found.newest.metrics), "")
        key = (found.model, metric)
        if metric and key not in self._trends:
            self._trends[key] = self._drawn(found.model, metric)
        return self._trends.get(key)

    def _drawn(self, model: str, metric: str) -> documents.Trend | None:
        newest = islice(self._store._repo.state.versions(model, True), DRAWN)
        having = [(number, each.metrics[metric]) for number, each in newest if metric in each.metrics][::-1]
        if not having:
            return None
        return documents.document(
            documents.Trend, metric=metric, numbers=tuple(number for number, _ in having),
            values=tuple(plain_metric(float(value)) for _, value in having),
        )  # fmt: skip


def _said(found: Summary) -> str:
    labels = (f"{key}={value}" for key, value in found.labels.items())
    newest = found.newest
    return "\n".join((found.model, *found.tags, *labels, found.notes, newest.author)).casefold()


WIDTH, HEIGHT = 120, 28


def line(trend: documents.Trend) -> str:
    """The points of a sparkline, for SVG: the oldest left, the largest value at the top."""
    values = [each if isinstance(each, float | int) else math.nan for each in trend.values]
    finite = [each for each in values if math.isfinite(each)]
    if len(finite) < 2:
        return ""
    low, high = min(finite), max(finite)
    span, step = (high - low) or 1.0, (WIDTH - 4) / max(1, len(values) - 1)
    if not math.isfinite(span):
        return ""
    return " ".join(
        f"{2 + at * step:.1f},{HEIGHT - 3 - (each - low) / span * (HEIGHT - 6):.1f}"
        for at, each in enumerate(values)
        if math.isfinite(each)
    )
