"""Which keys of the state a record is about, as far as it says so itself: their pages are read ahead."""

from __future__ import annotations

from collections.abc import Iterator

from saver.repo.events import (
    Commit,
    Condemn,
    Delete,
    Event,
    Harm,
    Holders,
    Label,
    Note,
    Relocate,
    Sign,
    Tag,
    Void,
)  # fmt: skip
from saver.repo.state.facts import (
    END,
    HOLDERS,
    freed_key,
    gone_key,
    harmed_key,
    model_key,
    moved_key,
    step_key,
    tag_key,
    version_key,
    void_key,
)


def needed_by(event: Event) -> Iterator[str]:
    """The keys whose values are needed to apply a record."""
    match event:
        case Commit():
            yield model_key(event.model)
        case (
            Tag(number=int(number))
            | Label(number=int(number))
            | Note(number=int(number))
            | Sign(number=int(number))
        ):
            yield version_key(event.model, number)
        case Label() | Note():
            yield model_key(event.model)
        case Delete():
            yield from (model_key(event.model), tag_key(event.model), tag_key(event.model, END))
            yield from (version_key(event.model, number) for number in event.numbers)
        case Relocate():
            yield from map(moved_key, event.moves)
        case Harm():
            yield from map(harmed_key, event.places)


def changed_by(event: Event) -> Iterator[str]:
    """The keys whose values a record changes, besides those that are needed to apply it."""
    match event:
        case Commit():
            yield version_key(event.model, event.number)
            if event.step is not None:
                yield step_key(event.model, event.step, event.number)
            yield from (tag_key(event.model, tag) for tag in event.tags)
        case Tag():
            yield tag_key(event.model, event.tag)
        case Condemn() | Relocate():
            for key in event.objects:
                yield from (gone_key(key), freed_key(key))
        case Void():
            yield void_key(event.commit)
        case Holders():
            yield HOLDERS
