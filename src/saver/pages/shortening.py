"""Lists of versions and records as documents: of what one has thousands of, the first, as on pages."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, TypeVar

import msgspec

from saver import documents
from saver.documents.piece import document, utc
from saver.pages.rendering import FEW
from saver.repo.entry import Entry
from saver.repo.history import Summary
from saver.repo.version import Version

S = TypeVar("S", bound=msgspec.Struct)

TAGS = 100
MODEL_TAGS = 10_000
"""The most tags of a model on its own page: thousands are there as JSON, where the page leads to them."""

OF_VERSION = {"metrics": FEW, "tags": TAGS, "labels": TAGS, "parts": TAGS, "packs": TAGS}
OF_RECORD = {
    "numbers": TAGS, "tags": TAGS, "before": TAGS, "labels": TAGS, "objects": TAGS, "holders": TAGS,
    "signers": TAGS, "verdicts": TAGS, "grants": TAGS,
}  # fmt: skip
"""The most entries of each field, where many versions or records are listed."""


def found_version(found: Version) -> documents.FoundVersion:
    """A version in a list."""
    some, left_out = shortened(found, OF_VERSION)
    return documents.version(documents.FoundVersion, some, left_out=left_out)


def found_model(found: Summary, trend: documents.Trend | None) -> documents.FoundModel:
    """A model in a list."""
    some, left_out = shortened(found, {"tags": TAGS, "labels": TAGS})
    newest = found_version(found.newest)
    return document(documents.FoundModel, some, newest=newest, trend=trend, left_out=left_out)


def found_entry(found: Entry) -> documents.FoundEntry:
    """A record in a list."""
    some, left_out = shortened(found, OF_RECORD)
    return document(documents.FoundEntry, some, time_utc=utc(found.time), left_out=left_out)


def shortened(found: S, most: Mapping[str, int]) -> tuple[S, dict[str, int]]:
    """The same with at most so many entries in these fields, and how many others each of them has."""
    changes, left_out = dict[str, Any](), dict[str, int]()
    for name, limit in most.items():
        value = getattr(found, name)
        if len(value) > limit:
            left_out[name] = len(value) - limit
            changes[name] = (
                dict(islice(value.items(), limit)) if isinstance(value, Mapping) else value[:limit]
            )
    return (msgspec.structs.replace(found, **changes) if changes else found), left_out
