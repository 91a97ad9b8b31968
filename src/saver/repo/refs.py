"""How to name a version: `iris`, `iris@3`, `iris@latest`, `iris@production`, `iris@step=1000`,
`iris@time=2026-11-20`.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta

import msgspec

LATEST = "latest"
MODEL_LIMIT = 200
STEP_LIMIT = 10**15

_SEGMENT = re.compile(r"\w[\w.+-]*")
_TAG = re.compile(r"[A-Za-z_][A-Za-z0-9_.+-]{0,99}")
_NUMBER = re.compile(r"[1-9][0-9]{0,11}")
_STEP = re.compile(r"0|[1-9][0-9]{0,14}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class BadNameError(ValueError):
    """A string that cannot be a ref, or the name of a model, or a tag."""


class Ref(msgspec.Struct, frozen=True):
    """A parsed ref: the model, and at most one of the other fields; none of them means the latest.

    `time` is Unix time: the newest version saved up to then.
    """

    model: str
    number: int | None = None
    tag: str | None = None
    step: int | None = None
    time: float | None = None


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
        return Ref(model, time=_moment(text, value))
    if _TAG.fullmatch(rest):
        return Ref(model, tag=rest)
    raise BadNameError(
        f"{text[:200]!r} is not a ref: write a number, a tag, `latest`, `step=1000` or "
        "`time=2026-11-20T12:00` after the @"
    )


def _moment(text: str, value: str) -> float:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise BadNameError(
            f"{text[:200]!r}: {value[:40]!r} is not a time; write `time=2026-11-20` (to its end) or "
            "`time=2026-11-20T12:00`, local unless a zone is given"
        ) from None
    if _DATE.fullmatch(value):
        found += timedelta(days=1) - timedelta(microseconds=1)
    return found.timestamp()


def check_model(name: str) -> None:
    """Raise BadNameError unless `name` can be the name of a model."""
    proper = isinstance(name, str) and 0 < len(name) <= MODEL_LIMIT and unicodedata.is_normalized("NFC", name)
    if not proper or not all(map(_SEGMENT.fullmatch, name.split("/"))):
        raise BadNameError(
            f"{str(name)[:200]!r} is not the name of a model: letters, digits and . _ + - in pieces joined "
            f"by /, each beginning with a letter, digit or _, {MODEL_LIMIT} in all"
        )


def check_tag(tag: str) -> None:
    """Raise BadNameError unless `tag` can be a tag."""
    if not isinstance(tag, str) or not _TAG.fullmatch(tag) or tag == LATEST:
        raise BadNameError(
            f"{str(tag)[:200]!r} is not a tag: a letter or _, then letters, digits and . _ + - (100 at "
            f"most); {LATEST!r} is always the newest version"
        )
