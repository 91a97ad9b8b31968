"""How to name a version: `iris`, `iris@3`, `iris@latest`, `iris@production`, `iris@step=1000`,
`iris@time=2026-11-20`, `iris@best:auc`; and several: `iris@3..7`.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta

import msgspec

from saver.direction import better
from saver.errors import quoted

LATEST = "latest"
MODEL_LIMIT = 200
STEP_LIMIT = 10**15
NUMBER_LIMIT = 10**12
METRIC_LIMIT = 200

_SEGMENT = re.compile(r"\w[\w.+-]*")
_TAG = re.compile(r"[A-Za-z_][A-Za-z0-9_.+-]{0,99}")
_NUMBER = re.compile(r"[1-9][0-9]{0,11}")
_RANGE_OTHERWISE = re.compile(r"([1-9][0-9]{0,11})(?:[-\u2013:,]|\.{3})([1-9][0-9]{0,11})")
_RANGE = re.compile(r"([1-9][0-9]{0,11})?\.\.([1-9][0-9]{0,11})?")
_STEP = re.compile(r"0|[1-9][0-9]{0,14}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class BadNameError(ValueError):
    """A text that cannot be a ref, the name of a model, a tag, a label, or a condition."""


class Extreme(msgspec.Struct, frozen=True):
    """The largest, or the smallest, value of a metric."""

    metric: str
    largest: bool


class Ref(msgspec.Struct, frozen=True):
    """A parsed ref: the model, and at most one of the other fields; none of them means the latest.

    `time` is Unix time: the newest version saved up to then. `metric` names the version with the largest or
    the smallest value.
    """

    model: str
    number: int | None = None
    tag: str | None = None
    step: int | None = None
    time: float | None = None
    metric: Extreme | None = None


def parse_ref(text: str) -> Ref:
    """Parse a ref. Raises BadNameError, which says what refs look like, if it is not one."""
    model, at, rest = text.partition("@")
    check_model(model)
    if not at or rest == LATEST:
        return Ref(model)
    if _NUMBER.fullmatch(rest):
        return Ref(model, number=int(rest))
    name, equals, value = rest.partition("=")
    if equals and name == "step" and _STEP.fullmatch(value):
        return Ref(model, step=int(value))
    if equals and name == "time":
        return Ref(model, time=period(text, value)[1])
    extreme = parse_extreme(rest)
    if extreme is not None:
        return Ref(model, metric=extreme)
    if _TAG.fullmatch(rest):
        return Ref(model, tag=rest)
    raise BadNameError(
        f"{text[:200]!r} is not a ref: write a number, a tag, `latest`, `step=1000`, "
        "`time=2026-11-20T12:00` or `best:auc` after the @"
    )


def parse_extreme(text: str) -> Extreme | None:
    """Parse `best:auc`, `worst:auc`, `max:auc` or `min:auc`; None for anything else. Raises BadNameError for
    the best of a metric whose name does not tell whether more or less of it is better."""
    which, colon, metric = text.partition(":")
    if which not in ("best", "worst", "max", "min") or not colon or not metric:
        return None
    if not metric.isprintable() or len(metric) > METRIC_LIMIT:
        raise BadNameError(f"{metric[:80]!r} is not the name of a metric")
    if which in ("max", "min"):
        return Extreme(metric, which == "max")
    mode = better(metric)
    if mode is None:
        unclear = unclear_direction(text, metric)
        raise BadNameError(f"{unclear}, which say what there is if no version has it")
    return Extreme(metric, (mode == "max") == (which == "best"))


def unclear_direction(where: str, metric: str) -> str:
    """What to say of a metric whose name does not tell whether more or less of it is better."""
    return (
        f"{where[:200]!r}: it is not known whether more or less of {metric[:80]!r} is better; write "
        f"`max:{metric[:80]}` or `min:{metric[:80]}`"
    )


class Range(msgspec.Struct, frozen=True):
    """Versions of a model with these numbers, both included."""

    model: str
    first: int
    last: int


def parse_range(text: str) -> Range | None:
    """Parse `iris@3..7`, `iris@..7` or `iris@3..`; None for anything else. Raises BadNameError for a range
    from a number to a smaller one."""
    model, _, rest = text.partition("@")
    match = _RANGE.fullmatch(rest)
    if match is None or rest == "..":
        otherwise = _RANGE_OTHERWISE.fullmatch(rest)
        if otherwise is not None:
            raise BadNameError(f"{text[:200]!r}: a range is written {model}@{otherwise[1]}..{otherwise[2]}")
        return None
    check_model(model)
    found = Range(model, int(match[1] or 1), int(match[2] or 10**12))
    if found.first > found.last:
        raise BadNameError(f"{text[:200]!r} ends before it begins; write {model}@{match[2]}..{match[1]}")
    return found


def period(text: str, value: str) -> tuple[float, float]:
    """The Unix times at which a day or a moment, in ISO 8601, begins and ends. Raises BadNameError; `text` is
    where it stands."""
    try:
        first = last = datetime.fromisoformat(value)
        if _DATE.fullmatch(value):
            last = first + timedelta(days=1) - timedelta(microseconds=1)
        return first.timestamp(), last.timestamp()
    except (ValueError, OverflowError):
        raise BadNameError(
            f"{text[:200]!r}: {value[:40]!r} is not a time; write `time=2026-11-20` (to its end) or "
            "`time=2026-11-20T12:00`, local unless a zone is given"
        ) from None


def check_model(name: str) -> None:
    """Raise BadNameError unless `name` can be the name of a model."""
    if isinstance(name, str) and not unicodedata.is_normalized("NFC", name):
        raise BadNameError(
            f"{name[:200]!r} is written with separate accents, as files of a Mac are: the name of a model is "
            'not; pass unicodedata.normalize("NFC", name)'
        )
    proper = isinstance(name, str) and 0 < len(name) <= MODEL_LIMIT
    if not proper or not all(map(_SEGMENT.fullmatch, name.split("/"))):
        raise BadNameError(
            f"{quoted(name, 200)} is not the name of a model: letters, digits and . _ + - in pieces joined "
            f"by /, each beginning with a letter, digit or _, {MODEL_LIMIT} in all"
        )


def check_group(name: str) -> None:
    """Raise BadNameError unless `name` can be what names of models begin with: `fraud/`."""
    if not isinstance(name, str) or not name.endswith("/"):
        raise BadNameError(f"{quoted(name, 200)} is not a group of models: it ends with a /, as in 'fraud/'")
    check_model(name[:-1])


def check_tag(tag: str) -> None:
    """Raise BadNameError unless `tag` can be a tag."""
    if not isinstance(tag, str) or not _TAG.fullmatch(tag) or tag == LATEST:
        raise BadNameError(
            f"{quoted(tag, 200)} is not a tag: a letter or _, then letters, digits and . _ + - (100 at "
            f"most); {LATEST!r} is always the newest version"
        )
