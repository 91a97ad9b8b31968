"""How a checkpoint is written: in steps that go beside what a writer does anyway.

The pages come first: they are harmless until a checkpoint names them. Then its record is made durable, and
checkpoints that are too old are deleted. Last, the checkpoint is created, and the pages are deleted that only
the old ones needed. A checkpoint lists the pages of those before it that it does not need, so nothing is read
to find them.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from saver.errors import SaverError
from saver.repo.beside import Ask
from saver.repo.objects import page_key
from saver.repo.state.checkpoint import FORMAT, Checkpoint
from saver.repo.state.reserve import keep_reserve
from saver.repo.state.shortcuts import CHECKPOINTS_KEPT, Shortcuts
from saver.repo.state.view import Broken, View
from saver.storage import Storage


class Due(NamedTuple):
    """A checkpoint that is to be written: what it says, and its pages that are only in memory.

    `shared` is the number and the root of the checkpoint with which it shares pages, if it does. `undurable`
    is the number of its record if that may not be durable yet, or else 0. `old` are the numbers of the
    checkpoints that are too old once this one exists, `kept` those of the others, and `spare` the names of
    the pages that only the old ones need; None if that is not known. `anew`: other pages may be damaged.
    `there` are those of its pages that the store may have already.
    """

    found: Checkpoint
    pages: Mapping[str, bytes]
    shared: tuple[int, str | None] | None
    undurable: int
    old: Collection[int]
    kept: Collection[int]
    spare: Collection[str] | None
    anew: bool
    there: Collection[str]


def due(
    shortcuts: Shortcuts, view: View, rests: Checkpoint | None, undurable: int, anew: bool
) -> Due | Checkpoint:
    """The checkpoint that is due in a view, which may rest on the checkpoint `rests`; or the one that another
    process has written. Raises Broken, or another SaverError if the checkpoints cannot be listed."""
    assert view.due is not None
    number, previous = view.due
    numbers = shortcuts.listed(number, view.root, view.settled)
    if number in numbers and not anew:
        found = shortcuts.made_by_others(number, previous, view.settled)
        if found is not None:
            return found
    if not view.alone and view.base not in numbers:
        raise Broken(f"{shortcuts.key(view.base)} is not there any more")
    try:
        return _due(shortcuts, view, rests, numbers, undurable, anew)
    except SaverError as error:
        raise Broken(str(error)) from error
    finally:
        if not view.alone:
            shortcuts.forget_held()


def _due(
    shortcuts: Shortcuts,
    view: View,
    rests: Checkpoint | None,
    numbers: Collection[int],
    undurable: int,
    anew: bool,
) -> Due:
    assert view.due is not None
    number, previous = view.due
    if rests is not None and (view.alone or (rests.number, rests.root) != (view.base, view.root)):
        rests = None
    pages, before = shortcuts.pages, sorted(each for each in numbers if each < number)
    root = pages.update(view.root, view.settled)
    old = [each for each in before[: 1 - CHECKPOINTS_KEPT] if each != view.base]
    kept = [each for each in before if each not in old]
    new = set(pages.reachable(root)) if view.alone else pages.only_in(root, [view.root])
    if not view.alone:
        pages.read_ahead(new)  # those who read on find them in memory
    spare: dict[int, tuple[str, ...]] = {}
    if rests is not None:
        spare = {each: tuple(sorted({*names} - new)) for each, names in rests.spare}
        spare[view.base] = tuple(sorted(pages.only_in(view.root, [root])))
    left = tuple((n, spare[n]) for n in kept if n in spare)
    return Due(
        found=Checkpoint(FORMAT, number, previous, root, left, dict(view.due_roles)),
        pages=shortcuts.held_among(new),
        shared=None if view.alone else (view.base, view.root),
        undurable=undurable,
        old=old,
        kept=kept,
        spare=[name for each in old for name in spare[each]] if spare.keys() >= {*before} else None,
        anew=anew,
        there=new if anew else {name for _, names in (rests.spare if rests else ()) for name in names},
    )


def steps(due: Due, shortcuts: Shortcuts, storage: Storage) -> Generator[list[Ask], list[Any], Checkpoint]:
    """The steps that write a checkpoint; returns the one that is there then, which another process may have
    been faster to write. Raises Broken if the one with which it shares pages is not there any more, or
    another SaverError: then it is not written."""
    pages = [partial(shortcuts.write_page, name, data, name in due.there) for name, data in due.pages.items()]
    _, record, spare, *_ = yield [
        partial(_demand_shared, due, shortcuts),
        partial(shortcuts.record_of, due.undurable),
        partial(_spare, due, shortcuts),
        *pages,
    ]
    old = due.old if spare is not None else ()
    _, gone, _ = yield [
        partial(shortcuts.make_durable, due.undurable, record),
        partial(shortcuts.drop, [*map(shortcuts.key, old)]),
        partial(keep_reserve, storage),
    ]
    pages_of_old = [*map(page_key, spare or ())] if gone else []
    there, _ = yield [
        partial(shortcuts.write_once, due.found, due.anew),
        partial(shortcuts.drop, pages_of_old),
    ]
    found: Checkpoint = there
    return found


def _demand_shared(due: Due, shortcuts: Shortcuts) -> None:
    """Raise Broken if somebody has made the checkpoint anew with which this one shares pages."""
    if due.shared is None:
        return
    number, root = due.shared
    try:
        found = shortcuts.read(number).root
    except SaverError as error:
        raise Broken(str(error)) from error
    if found != root:
        raise Broken(f"{shortcuts.key(number)} was made anew")


def _spare(due: Due, shortcuts: Shortcuts) -> Collection[str] | None:
    """The pages that only old checkpoints need; None if that cannot be known."""
    if due.spare is None and due.old:
        with suppress(SaverError):
            return shortcuts.spare(due.old, due.kept) - due.pages.keys()
    return due.spare
