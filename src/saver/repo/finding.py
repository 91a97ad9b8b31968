"""Which version a ref names, and what to say if it names none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from saver.errors import NotFoundError
from saver.repo.refs import Extreme, Ref
from saver.repo.state.facts import Facts
from saver.repo.version import number_of

NAMED = 10
"""So many tags or metrics are named in a message."""


def number_named(facts: Facts, ref: Ref) -> int | None:
    """The number of the version that a ref names; None if there is none. A number names itself."""
    if ref.number is not None:
        return ref.number
    if ref.tag is not None:
        return facts.tag(ref.model, ref.tag)
    if ref.step is not None:
        return facts.newest_with_step(ref.model, ref.step)
    if ref.time is not None:
        newest_first = facts.versions(ref.model, reverse=True)
        return next((number for number, version in newest_first if version.time <= ref.time), None)
    if ref.metric is not None:
        return extreme(((number, each.metrics) for number, each in facts.versions(ref.model)), ref.metric)
    model = facts.model(ref.model)
    return model.latest if model is not None else None


def extreme(versions: Iterable[tuple[int, Mapping[str, float | str]]], wanted: Extreme) -> int | None:
    """The number of the version with the largest or the smallest value, the first of equal ones. Versions
    without the metric, or with nan or an infinity, do not count."""
    sign = -1 if wanted.largest else 1
    values = ((number_of(metrics.get(wanted.metric, math.nan)), number) for number, metrics in versions)
    return min(
        ((sign * value, number) for value, number in values if math.isfinite(value)), default=(0, None)
    )[1]


def tags_of(facts: Facts, model: str, number: int) -> tuple[str, ...]:
    """The tags that name a version."""
    return tuple([tag for tag, tagged in facts.tags(model).items() if tagged == number])


def named_by(facts: Facts, model: str, tags: Iterable[str]) -> dict[str, int]:
    """The number of the version that each of these tags names, if it names one."""
    numbers = ((tag, facts.tag(model, tag)) for tag in sorted(tags))
    return {tag: number for tag, number in numbers if number is not None}


def not_found(where: str, facts: Facts, text: str, ref: Ref) -> NotFoundError:
    """The error for a ref that names nothing. It lists what there is."""
    model = facts.model(ref.model)
    if model is None or not model.count:
        return NotFoundError(f"{where}: there is no model {ref.model!r}; {_models(facts, ref.model)}")
    if ref.metric is not None:
        names = sorted({name for _, each in facts.versions(ref.model) for name in each.metrics})
        there = f"its metrics are {some(names[:NAMED], len(names))}" if names else "none has any metric"
        return NotFoundError(
            f"{where}: there is no {text}: no version of {ref.model} has a finite {ref.metric.metric!r}; "
            f"{there}"
        )
    tags = [*facts.tags(ref.model)]
    tagged = f", tagged: {some(tags[:NAMED], len(tags))}" if tags else ""
    count = f"{model.count} version{'s' if model.count > 1 else ''}"
    return NotFoundError(
        f"{where}: there is no {text}; {ref.model} has {count}, the newest is "
        f"{ref.model}@{model.latest}{tagged}"
    )


def _models(facts: Facts, wanted: str) -> str:
    """What models there are: those of a group of that name, or those that are nearly called so."""
    from difflib import get_close_matches

    names = [name for name, model in facts.models() if model.count]
    group = [name for name in names if name.startswith(f"{wanted}/")]
    near = group[:5] or get_close_matches(wanted, names, 3) or names[:5]
    return f"there are {some(near, len(group or names))}" if near else "no version is in it"


def some(names: list[str], count: int) -> str:
    """Some of `count` names, as text."""
    more = count - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more else "")
