"""What may be said of versions and models after they were saved: labels (key=value), and notes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from saver.errors import quoted
from saver.repo.refs import BadNameError
from saver.tree import encodable

LABELS_LIMIT = 64
"""Labels of one version or model."""

VALUE_LIMIT = 200
NOTES_LIMIT = 10_000
"""Characters."""

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.+-]{0,99}")


def check_labels(labels: Mapping[str, str | None]) -> None:
    """Raise BadNameError unless each key can be that of a label, and each value one, or None."""
    for key, value in labels.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise BadNameError(
                f"{quoted(key, 200)} cannot be the key of a label: a letter or _, then letters, digits and "
                ". _ + - (100 at most)"
            )
        proper = value is None or (
            isinstance(value, str) and 0 < len(value) <= VALUE_LIMIT and value.isprintable()
        )
        if not proper:
            raise BadNameError(
                f"{key}: {quoted(value, 200)} cannot be the value of a label: a number, or a text of 1 to "
                f"{VALUE_LIMIT} printable characters; longer texts go into the notes"
            )


def check_notes(notes: str) -> None:
    """Raise BadNameError unless this can be the notes of a version or model."""
    if not isinstance(notes, str) or len(notes) > NOTES_LIMIT or not encodable(notes):
        raise BadNameError(
            f"notes are a text of at most {NOTES_LIMIT:,} characters; save longer ones as a part"
        )


def labelled(labels: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """The labels after these changes, sorted by key; None removes one. Raises BadNameError if there are too
    many, or if a key or value cannot be one."""
    check_labels(changes)
    merged = {**labels, **changes}
    found = {key: value for key in sorted(merged) if (value := merged[key]) is not None}
    if len(found) > LABELS_LIMIT:
        raise BadNameError(f"{len(found)} labels are more than {LABELS_LIMIT}; remove some first")
    return found
