"""Numbers for Prometheus, in its text format. Labels have few values, whatever clients send."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterator

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
HELP = {
    "saver_requests_total": "Answers by model, version and status.",
    "saver_refusals_total": "Requests that were refused, by reason.",
    "saver_rows_total": "Rows that were predicted.",
    "saver_stage_seconds": "Time of one request by stage: read, decode, queue, predict, encode, all.",
    "saver_batch_rows": "Rows of one call of a model.",
    "saver_batch_requests": "Requests of one call of a model.",
    "saver_queue_rows": "Rows that wait for a worker now.",
    "saver_requests_now": "Requests that are being answered now.",
    "saver_bodies_bytes": "Bytes of all bodies that are held now.",
    "saver_workers": "Workers that live now.",
    "saver_worker_deaths_total": "Workers that ended by themselves, or took too long and were killed.",
    "saver_changes_total": "Versions that took over, by outcome: done, refused, back.",
    "saver_shadow_total": "Answers of shadows: same, different, failed or left out.",
    "saver_drift_rows_total": "Rows whose value of a column lies outside of the schema, by kind.",
    "saver_drift_seen_total": "Rows in which a column was looked at.",
    "saver_drift_below_total": "Rows whose value lies below a quantile of the schema.",
}

Labels = tuple[tuple[str, str], ...]


class Histogram:
    """How many values lie below each bound."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str, labels: Labels) -> Iterator[str]:
        below = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            below += count
            yield f"{name}_bucket{_braces((*labels, ('le', bound)))} {below}"
        yield f"{name}_sum{_braces(labels)} {self.sum!r}"
        yield f"{name}_count{_braces(labels)} {below}"


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Metrics:
    """All numbers of a server."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[Labels, float]] = defaultdict(lambda: defaultdict(float))
        self._histograms: dict[str, dict[Labels, Histogram]] = defaultdict(dict)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self._counts[name][tuple(labels.items())] += amount

    def value(self, name: str, **labels: str) -> float:
        """What was counted; 0 if nothing was."""
        return self._counts[name].get(tuple(labels.items()), 0)

    def time(self, name: str, seconds: float, **labels: str) -> None:
        self._add(name, SECONDS, seconds, tuple(labels.items()))

    def size(self, name: str, size: float, **labels: str) -> None:
        self._add(name, SIZES, size, tuple(labels.items()))

    def _add(self, name: str, bounds: tuple[float, ...], value: float, labels: Labels) -> None:
        found = self._histograms[name].get(labels)
        if found is None:
            found = self._histograms[name][labels] = Histogram(bounds)
        found.add(value)

    def text(self, now: dict[tuple[str, Labels], float]) -> str:
        """Everything as Prometheus reads it; `now` has what is measured rather than counted."""
        lines: list[str] = []
        gauges: dict[str, dict[Labels, float]] = defaultdict(dict)
        for (name, labels), value in now.items():
            gauges[name][labels] = value
        for kind, found in (("counter", self._counts), ("gauge", gauges)):
            for name, values in found.items():
                lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} {kind}"]
                lines += [f"{name}{_braces(labels)} {value:.0f}" for labels, value in values.items()]
        for name, histograms in self._histograms.items():
            lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} histogram"]
            for labels, histogram in histograms.items():
                lines += histogram.lines(name, labels)
        return "\n".join(lines) + "\n"
