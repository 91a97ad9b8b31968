"""Who did what to a store, and when: the records of its log, the newest first."""

from __future__ import annotations

from collections.abc import Iterator

from saver.repo.entry import Entry, Kind, entry_of
from saver.repo.refs import Range, parse_range, parse_ref
from saver.repo.repository import Repository
from saver.repo.version import Version


def wanted(repo: Repository, ref: str | Version) -> Range:
    """The versions that a ref or a range names, in the state that was read last: for the name of a model, all
    of them. A number may be that of a version that was deleted. Raises NotFoundError."""
    ref = str(ref)
    several = parse_range(ref)
    if several is not None:
        return several
    found = parse_ref(ref)
    if "@" not in ref:
        return Range(found.model, 0, 10**12)
    number = found.number if found.number is not None else repo.version(ref).number
    return Range(found.model, number, number)


def entries(
    repo: Repository, about: Range | None = None, kinds: frozenset[Kind] = frozenset()
) -> Iterator[Entry]:
    """The log as the state has it, the newest record first; or what concerns these versions of a model, back
    to where the first was saved. A range from 0 on also has what concerns the model itself. Only entries of
    these kinds, if there are any. Reads records as they are wanted."""
    for record in repo.state.log.read_back(repo.state.head):
        entry = entry_of(record)
        if about is not None and not _concerns(entry, about):
            continue
        if not kinds or entry.kind in kinds:
            yield entry
        if about is not None and entry.kind == "save" and entry.numbers[0] <= max(about.first, 1):
            return


def _concerns(entry: Entry, about: Range) -> bool:
    """Whether an entry is about one of these versions, or moved a tag away from one."""
    if entry.model != about.model:
        return False
    return not about.first or any(
        about.first <= number <= about.last for number in (*entry.numbers, *entry.before.values())
    )
