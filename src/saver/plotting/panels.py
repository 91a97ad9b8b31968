"""Which curves share a panel, and their names in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from saver.errors import NotFoundError

PANELS = 24
"""The largest number of panels that are drawn: nobody could read more."""

NAMED = 2
"""How many curves without a finite value are named beside the title of a panel; more are counted."""


class Curves(Protocol):
    """The log of a run: a TrainingLog, or anything with its methods."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics."""

    @property
    def events(self) -> Sequence[Any]:
        """Where it was saved and resumed: objects with a `kind` and a `step`."""

    def __contains__(self, name: object) -> bool: ...

    def __getitem__(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The steps at which a metric was logged, in rising order, and its values."""


class Curve(NamedTuple):
    """A metric of a run in a panel. `role` distinguishes it from the others in the panel: "training",
    "validation"; empty if there are no others. `rank` is 0 for training, and counts the others from 1."""

    run: str
    metric: str
    role: str
    rank: int


class Panel(NamedTuple):
    """Curves of the same quantity."""

    title: str
    curves: tuple[Curve, ...]


def remark(panel: Panel, there: Sequence[bool], logarithmic: bool) -> str:
    """The remark beside the title of a panel: `logarithmic`, `no finite values`. `there` says for each curve
    whether it has finite values."""
    remarks = ["logarithmic"] if logarithmic else []
    empty = [curve for curve, some in zip(panel.curves, there, strict=True) if not some]
    if len(empty) == len(there):
        remarks.append("no finite values")
    elif empty:
        several = len({curve.run for curve in panel.curves}) > 1
        names = [shown(f"{each.run} {each.role}".strip() if several else each.role) for each in empty]
        listed = ", ".join(names) if len(names) <= NAMED else f"{len(names)} of {len(there)} curves"
        remarks.append(f"no finite values: {listed}")
    return ", ".join(remarks)


_ROLES = {
    "training": ("training", "train"),
    "validation": ("validation", "valid", "val", "dev"),
    "held out": ("held_out", "heldout", "holdout"),
    "evaluation": ("evaluation", "eval"),
    "test": ("testing", "test"),
}
_ROLE_OF = {word: role for role, words in _ROLES.items() for word in words}
_WORDS = "|".join(sorted(_ROLE_OF, key=len, reverse=True))
_JOINT = "[_/.: -]"
_NAME = re.compile(
    rf"(?P<before>{_WORDS}){_JOINT}(?P<rest>.+)|(?P<base>.+){_JOINT}(?P<after>{_WORDS})", re.IGNORECASE
)


def role_of(name: str) -> tuple[str, str]:
    """What a metric measures, and on which data: `loss` and "validation" for `val_loss` and `loss/val`."""
    found = _NAME.fullmatch(name)
    if found is None:
        return name, ""
    word = found["before"] or found["after"]
    return found["rest"] or found["base"], _ROLE_OF[word.lower()]


def panels(runs: Mapping[str, Curves], metrics: Iterable[str] | None = None) -> list[Panel]:
    """The panels for all metrics of some runs, or for those named, in the order in which they appear.

    A name that stands for several (`loss`, beside `val_loss`) chooses them all. Raises NotFoundError for a
    name that no run has.
    """
    names = list(dict.fromkeys(name for log in runs.values() for name in log.metrics))
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(role_of(name)[0], []).append(name)
    if metrics is not None:
        groups = _chosen(groups, [metrics] if isinstance(metrics, str) else metrics)
    return [_panel(base, group, runs) for base, group in groups.items()]


def _chosen(groups: Mapping[str, list[str]], wanted: Iterable[str]) -> dict[str, list[str]]:
    chosen: dict[str, list[str]] = {}
    for name in wanted:
        base, _ = role_of(name)
        if name in groups:
            base, names = name, groups[name]
        elif name in groups.get(base, ()):
            names = [name]
        else:
            there = ", ".join([one for names in groups.values() for one in names][:20]) or "none"
            raise NotFoundError(f"no run has a metric {str(name)[:80]!r}; choose from {there}")
        held = chosen.setdefault(base, [])
        held += [one for one in names if one not in held]
    return chosen


def _panel(base: str, names: Sequence[str], runs: Mapping[str, Curves]) -> Panel:
    roles = _roles(names)
    order = sorted(names, key=lambda name: (roles[name] != "training", names.index(name)))
    shift = 0 if "training" in roles.values() else 1
    curves = (
        Curve(run, name, roles[name], rank + shift)
        for run, log in runs.items()
        for rank, name in enumerate(order)
        if name in log
    )
    return Panel(names[0] if len(names) == 1 else base, tuple(curves))


def _roles(names: Sequence[str]) -> dict[str, str]:
    """The name of each metric in a panel: its role, if that identifies it."""
    if len(names) == 1:
        return {names[0]: ""}
    roles = {name: role_of(name)[1] for name in names}
    if "training" not in roles.values():  # `loss` beside `val_loss`
        roles = {name: role or "training" for name, role in roles.items()}
    given = list(roles.values())
    return {name: role if role and given.count(role) == 1 else name for name, role in roles.items()}


def shown(name: Any, limit: int = 40) -> str:
    """A name for a picture: unprintable characters are escaped, and a long name is cut in the middle."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))
    return text if len(text) <= limit else f"{text[: limit // 2 - 1]}…{text[-limit // 2 :]}"
