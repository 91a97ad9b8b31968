"""What a ref named before it named what it names now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

from saver import Saver
from saver.errors import NotFoundError
from saver.repo.refs import Ref, parse_ref


def earlier(store: Saver, ref: str, since: float, most: int) -> list[str]:
    """The versions that a tag, or the latest of a model, named before, as far back as the one that it named
    at the Unix time `since`; the newest first, at most so many, without those that are deleted. None for any
    other ref."""
    parsed = parse_ref(ref)
    if parsed == Ref(parsed.model):
        numbers = _saved(store, parsed.model, since, most)
    elif parsed.tag is not None:
        numbers = _tagged(store, parsed.model, parsed.tag, since)
    else:
        return []
    return list(islice(_there(store, parsed.model, dict.fromkeys(numbers)), most))


def _there(store: Saver, model: str, numbers: Iterable[int]) -> Iterator[str]:
    for number in numbers:
        with suppress(NotFoundError):
            yield str(store.version(f"{model}@{number}"))


def _saved(store: Saver, model: str, since: float, most: int) -> Iterator[int]:
    versions = store.versions(model, last=most + 1)
    for newer, older in zip(versions[:0:-1], versions[-2::-1], strict=True):
        if newer.time < since:
            return
        yield older.number


def _tagged(store: Saver, model: str, tag: str, since: float) -> Iterator[int]:
    for entry in store.log(model, kinds=("save", "tag")):
        if entry.time < since:
            return
        if tag in entry.before and not entry.refused:
            yield entry.before[tag]
