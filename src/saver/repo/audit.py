"""Who did what to a store, and when: the records of its log, the newest first."""

from __future__ import annotations

from collections.abc import Iterator

from saver.repo.entry import Entry, entry_of
from saver.repo.repository import Repository


def entries(repo: Repository, model: str | None = None) -> Iterator[Entry]:
    """The log as the state has it, the newest record first; or what concerns a model, back to its first
    version. Reads records as they are wanted."""
    for record in repo.state.log.read_back(repo.state.head):
        entry = entry_of(record)
        if model is None or entry.model == model:
            yield entry
            if model is not None and entry.kind == "commit" and entry.numbers == (1,):
                return
