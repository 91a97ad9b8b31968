"""What a ref named before it named what it names now."""

from __future__ import annotations

from collections.abc import Iterator

from saver import Saver
from saver.errors import NotFoundError
from saver.repo.refs import Ref, parse_ref


def earlier(store: Saver, ref: str, since: float) -> Iterator[str]:
    """The versions that a tag, or the latest of a model, named before, as far back as the one that it named
    at the Unix time `since`; the newest first, without those that are deleted. None for any other ref."""
    parsed = parse_ref(ref)
    if parsed == Ref(parsed.model):
        numbers = _saved(store, parsed.model, since)
    elif parsed.tag is not None:
        numbers = _tagged(store, parsed.model, parsed.tag, since)
    else:
        return
    for number in dict.fromkeys(numbers):
        try:
            yield str(store.version(f"{parsed.model}@{number}"))
        except NotFoundError:
            continue


def _saved(store: Saver, model: str, since: float) -> Iterator[int]:
    versions = list(store.versions(model))
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
