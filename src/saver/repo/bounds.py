"""How much one version may say of itself, so that no listing and no page grows without end: checked for
callers, and by a server for those who send records."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from saver.repo.refs import METRIC_LIMIT, BadNameError

METRICS_LIMIT = 10_000
TAGS_LIMIT = 1000
"""Metrics and tags of one version, as it is saved."""

AUTHOR_LIMIT = 200
"""Characters."""

LAST_TIME = 253_402_300_800.0
"""The end of the year 9999, in seconds since 1970: no calendar has a later time."""


def check_metrics(metrics: Mapping[str, float | str]) -> None:
    """Raise BadNameError unless a version may have these metrics, as callers give them or as a record has
    them."""
    if len(metrics) > METRICS_LIMIT:
        raise BadNameError(
            f"{len(metrics):,} metrics are more than {METRICS_LIMIT:,}; save further ones as a part"
        )
    for name, value in metrics.items():
        if not 0 < len(name) <= METRIC_LIMIT or not name.isprintable():
            raise BadNameError(f"{name[:80]!r} is not a name of 1 to {METRIC_LIMIT} printable characters")
        if isinstance(value, str) and value not in ("nan", "inf", "-inf"):
            raise BadNameError(f"{name}: {value[:80]!r} is not a number")


def check_tags(tags: Collection[str]) -> None:
    """Raise BadNameError if a version is given too many tags, or one of them twice."""
    if len(tags) > TAGS_LIMIT:
        raise BadNameError(f"{len(tags):,} tags are more than {TAGS_LIMIT:,}; label the version instead")
    if len({*tags}) != len(tags):
        raise BadNameError("it has a tag twice")


def check_author(author: str) -> None:
    """Raise BadNameError unless this can be the name of an author."""
    if not 0 < len(author) <= AUTHOR_LIMIT or not author.isprintable():
        raise BadNameError(f"{author[:80]!r} is not a name of 1 to {AUTHOR_LIMIT} printable characters")


def check_time(time: float) -> None:
    """Raise BadNameError unless this is a time that a calendar has."""
    if not (math.isfinite(time) and 0 <= time < LAST_TIME):
        raise BadNameError(f"{time!r} is not a time, in seconds since 1970")
