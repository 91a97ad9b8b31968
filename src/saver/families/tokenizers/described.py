"""What the JSON of a tokenizer may ask for, so that compiled code stays within what the file backs.

The library is written in Rust, which checks every index; what is left to refuse are sizes that it would
allocate when it is used, and regular expressions that its engine (Oniguruma) would expand without limit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from saver.errors import kind_of

LONGEST = 1 << 24
"""The most tokens that a text may be filled up to, or cut to."""

_PATTERN_LIMIT = 4096
"""Characters of a regular expression. The longest of those in use, of o200k, has some 300."""

_REPEATS_LIMIT = 10_000
"""The product of all counts in braces: nested ones multiply."""

_COUNTS = re.compile(r"\{(\d*)(?:,(\d*))?\}")
_STEERING = ("(?~", "(?{", "(?(", "(*", "\\g<", "\\g'", "\\k<", "\\k'")
"""Absent expressions, calls, conditions and callouts: no tokenizer needs them."""


def check(found: Any) -> None:
    """Raise ValueError unless compiled code can be given this."""
    if type(found) is not dict:
        raise ValueError("the description of a tokenizer is not a JSON object")
    if found.get("truncation") is not None or found.get("padding") is not None:
        raise ValueError("how texts are cut and filled up stands beside the description of a tokenizer")
    for name in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        for item in _within(found.get(name)):
            if "Regex" in item:
                check_pattern(item["Regex"])


_TRUNCATION = {"max_length": int, "stride": int, "strategy": str, "direction": str}
_PADDING = {
    "length": int, "pad_to_multiple_of": int, "pad_id": int, "pad_token": str, "pad_type_id": int,
    "direction": str,
}  # fmt: skip


def check_truncation(found: Any) -> None:
    """Raise ValueError unless this is how texts are cut, or None."""
    if found is not None:
        _check_settings("truncation", found, _TRUNCATION)
        if not found["stride"] < found["max_length"]:
            raise ValueError("the stride of a truncation is not below its length")


def check_padding(found: Any) -> None:
    """Raise ValueError unless this is how texts are filled up, or None."""
    if found is not None:
        _check_settings("padding", found, _PADDING)


def _check_settings(what: str, found: Any, kinds: dict[str, type]) -> None:
    if type(found) is not dict or found.keys() != kinds.keys():
        raise ValueError(f"the {what} of a tokenizer has other settings than {', '.join(kinds)}")
    for name, value in found.items():
        optional = value is None and name in ("length", "pad_to_multiple_of")
        if not optional and type(value) is not kinds[name]:
            raise ValueError(f"{name} of a tokenizer is {kind_of(value)}")
        if type(value) is int and not 0 <= value <= LONGEST:
            raise ValueError(f"{name} of a tokenizer is {value!r:.40}, not at most {LONGEST:,}")


def check_pattern(pattern: Any) -> None:
    """Raise ValueError for a regular expression that is too long, or repeats too often."""
    if type(pattern) is not str or len(pattern) > _PATTERN_LIMIT:
        raise ValueError(f"a regular expression is not a text of at most {_PATTERN_LIMIT} characters")
    if any(words in pattern for words in _STEERING):
        raise ValueError(f"a regular expression calls or counts: {pattern!r:.60}")
    counts = [int(count[:9]) for both in _COUNTS.findall(pattern) for count in both if count]
    if math.prod(max(count, 1) for count in counts) > _REPEATS_LIMIT:
        raise ValueError(f"a regular expression repeats too often: {pattern!r:.60}")


def _within(value: Any) -> Iterator[dict[str, Any]]:
    """All JSON objects in a value."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            yield item
            waiting += item.values()
        elif type(item) is list:
            waiting += item
