"""When a save rewrites bytes that a check found damaged, older versions read the new bytes, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from saver.callers import warn
from saver.errors import SaverError
from saver.repo.events import Event, Move, Relocate
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.tensors import Shard


def heal(repo: Repository, version: Version, harmed: Iterable[Shard], new: Mapping[str, Shard]) -> None:
    """Let versions that need `harmed` tensors read the `new` ones of a version instead, if they are the same.

    Warns if that fails: the version is saved all the same.
    """
    fresh = {(known.hash, known.length): known for known in new.values()}
    moves: dict[str, list[Move]] = {}
    for old in harmed:
        found = fresh.get((old.hash, old.length))
        if found is not None and len(found.extents) == 1 and len(old.extents) == 1:
            pack, offset, length = old.extents[0]
            target, there, _ = found.extents[0]
            moves.setdefault(pack, []).append((offset, length, target, there))
    if not moves:
        return

    def decide() -> Event | None:
        """Decide again: the version may have been deleted, and its packs condemned."""
        if repo.condemned(new):
            return None
        return Relocate({pack: tuple(sorted(found)) for pack, found in moves.items()})

    try:
        repo.append(decide)
    except SaverError as error:
        warn(f"{version} is saved, but older versions could not be healed with it: {error}", UserWarning)
