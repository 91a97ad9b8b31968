"""Who did what to a store, and when: the records of its log, the newest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from saver.errors import IncompatibleError
from saver.repo.entry import Entry, Kind, entry_of
from saver.repo.events import Commit, Roles, Sign
from saver.repo.log import Record
from saver.repo.refs import Range, parse_range, parse_ref
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.repo.vouching import lacking, lacking_when_gone, verdicts
from saver.signing.heads import Head, Heads
from saver.signing.signatures import record_failure


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
    records = repo.state.log.read_back(repo.state.head)
    return (entry for _, entry in looked_at(repo, records, about, kinds) if entry is not None)


def looked_at(
    repo: Repository, records: Iterable[Record | int], about: Range | None, kinds: frozenset[Kind]
) -> Iterator[tuple[int, Entry | None]]:
    """The same of these records, the newest first; also the numbers of those that are not of these: a reader
    with little time can stop there, and go on later. A number among the records is passed on."""
    seen = Heads().known(repo.format().id)
    for record in records:
        if isinstance(record, int):
            yield record, None
            continue
        entry = entry_of(record)
        if about is not None and not _concerns(entry, about):
            yield record.number, None
            continue
        wanted = not kinds or entry.kind in kinds
        yield record.number, _vouched(repo, record, _judged(repo, record, entry, seen)) if wanted else None
        if about is not None and entry.kind == "save" and entry.numbers[0] <= max(about.first, 1):
            return


def _judged(repo: Repository, record: Record, entry: Entry, seen: Head | None) -> Entry:
    """An entry, with whether its signature holds and the record counts, and whether its head was seen."""
    changes: dict[str, Any] = {}
    if record.signed is not None:
        try:
            changes["signature"] = record_failure(record, record.signed) or "holds"
        except (
            IncompatibleError
        ) as error:  # the library is not installed: who did what can be read all the same
            changes["signature"] = f"not checked: {error}"
    refused = repo.state.refused(record.number, isinstance(record.event, Roles))
    if refused is not None:
        changes["refused"] = refused
    if seen is not None and record.number == seen.number:
        changes["seen"] = repo.state.log.read(record.number)[1] == seen.hash
    return replace(entry, **changes) if changes else entry


def _vouched(repo: Repository, record: Record, entry: Entry) -> Entry:
    """An entry, with whether the signatures of the version that it is about hold, and whether the version has
    those that a trust file demands. Reads the version's document if it is signed."""
    event = record.event
    if not isinstance(event, Commit | Sign) or entry.refused:
        return entry
    state = repo.state.version(event.model, event.number)
    version = None if state is None else repo.version(f"{event.model}@{event.number}")
    lack = ""
    if isinstance(event, Commit):
        lack = lacking_when_gone(repo, event.model) if version is None else lacking(repo, version)
    found = verdicts(repo, version, event.signatures)
    return replace(entry, verdicts=found, unverified=lack) if found or lack else entry


def _concerns(entry: Entry, about: Range) -> bool:
    """Whether an entry is about one of these versions, or moved a tag away from one."""
    if entry.model != about.model:
        return False
    return not about.first or any(
        about.first <= number <= about.last for number in (*entry.numbers, *entry.before.values())
    )
