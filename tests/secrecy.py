"""Looks for a secret in everything that an error shows: its text, its chain, and the variables of Saver's own
frames."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

GOLDEN = Path(__file__).parent / "golden" / "keys"

SECRET = (GOLDEN / "golden.key").read_text().splitlines()[1]
"""A secret key that anyone knows."""


def raised(act: Callable[[], Any], *kinds: type[BaseException]) -> BaseException:
    """The error of an act."""
    with pytest.raises(kinds or (Exception,)) as caught:
        act()
    return caught.value


def shown(error: BaseException) -> Iterator[str]:
    """Everything that crash reports, debuggers and logs show of an error."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield from (str(each), repr(each), repr(each.args), repr(getattr(each, "__notes__", "")))
        yield from variables(each.__traceback__)
        waiting += [each.__cause__, each.__context__]
    yield "".join(traceback.format_exception(error))


def variables(found: TracebackType | None) -> Iterator[str]:
    """The variables of Saver's frames."""
    while found is not None:
        if found.tb_frame.f_globals.get("__name__", "").startswith("saver"):
            for name, value in found.tb_frame.f_locals.items():
                yield f"{found.tb_frame.f_code.co_name}: {name} = {value!r}"
        found = found.tb_next


def leaks(error: BaseException, *secrets: str | bytes) -> list[str]:
    """Where an error shows one of these secrets, or a part of it."""
    texts = [each.decode("latin-1") if isinstance(each, bytes) else each for each in secrets]
    texts = [text.removeprefix("AGE-SECRET-KEY-1") or text for text in texts]
    pieces = {text[at : at + 12] for text in texts for at in range(0, max(len(text) - 11, 1), 4)}
    hexes = {each.hex() for each in secrets if isinstance(each, bytes)}
    return [text[:300] for text in shown(error) if any(piece in text for piece in pieces | hexes)]
