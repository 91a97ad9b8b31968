"""A save in pieces, each of which is durable and noted: one that was interrupted goes on with the next piece.

The notes are a file on this machine that only saves time: without it, everything is written again. What was
staged and never committed is garbage in the store, which a collection frees; then its piece is staged again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from saver.errors import SaverError
from saver.logger import logger
from saver.repo import document
from saver.repo.commit import commit
from saver.repo.draft import Draft, Encoded
from saver.repo.objects import pack_key
from saver.repo.refused import CondemnedError
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.stage import stage, stage_again
from saver.repo.staged import Staged
from saver.repo.version import Version
from saver.storage import Progress
from saver.strict import decodable
from saver.tensors import ShardedData, TensorData, length_of, packs_of

PIECE = 1 << 30
"""Bytes of a piece. An interruption costs at most one of them."""


@decodable
class Notes(msgspec.Struct, frozen=True):
    """What was staged so far, in order."""

    format: int
    pieces: tuple[Staged, ...]


def save_resumably(repo: Repository, draft: Draft, notes: str, progress: Progress | None = None) -> Version:
    """Save a version, as `save_version` does. A large one is staged in pieces, which are noted in the file
    `notes`: if this is interrupted, it goes on from there when it is called again with the same draft."""
    groups = [*_groups(draft.encoded)]
    if len(groups) == 1:
        return save_version(repo, draft, progress)
    saving = _Saving(repo, draft, groups, notes, progress)
    version = saving.run()
    with suppress(OSError):  # there may be none; and those of a version that is there are never read again
        os.remove(notes)
    return version


def _groups(encoded: Encoded) -> Iterator[Encoded]:
    """The tensors, about `PIECE` bytes at a time; the parts come with the last of them."""
    some: dict[str, TensorData | ShardedData] = {}
    size = 0
    for name, data in encoded.stored.items():
        if some and size + length_of(data) > PIECE:
            yield _only(encoded, some)
            some, size = {}, 0
        some[name] = data
        size += length_of(data)
    yield msgspec.structs.replace(_only(encoded, some), parts=encoded.parts)


def _only(encoded: Encoded, tensors: dict[str, TensorData | ShardedData]) -> Encoded:
    plain = {name: data for name, data in tensors.items() if isinstance(data, TensorData)}
    sharded = {name: data for name, data in tensors.items() if isinstance(data, ShardedData)}
    found = msgspec.structs.replace(
        encoded, parts={}, tensors=plain, sharded=sharded, others=encoded.stored.keys() - tensors.keys()
    )
    shards, _ = found.in_shards()  # what is cut into blocks may have the name of a shard that is not here
    hashed = {name: encoded.hashed[name] for name in shards if name in encoded.hashed}
    return msgspec.structs.replace(found, hashed=hashed)


class _Saving:
    def __init__(
        self, repo: Repository, draft: Draft, groups: list[Encoded], notes: str, progress: Progress | None
    ) -> None:
        self._repo, self._draft, self._groups, self._notes = repo, draft, groups, notes
        self._progress = progress
        self._sizes = [sum(map(length_of, group.stored.values())) for group in groups]
        self._staged = self._noted()

    def run(self) -> Version:
        for at, group in enumerate(self._groups):
            if at >= len(self._staged):
                self._staged.append(
                    stage(
                        self._repo, self._draft.model, group, bases=self._draft.bases, small=0,
                        progress=self._report(at),
                    )
                )  # fmt: skip
                self._note()
        while True:
            try:
                return commit(self._repo, self._staged, self._draft)
            except CondemnedError as error:
                logger.info("%s", error)
                for at, staged in enumerate(self._staged):
                    if staged.id in error.condemned:
                        self._staged[at] = stage_again(
                            self._repo, staged, error.condemned[staged.id], self._groups[at],
                            progress=self._report(at),
                        )  # fmt: skip
                self._note()

    def _report(self, at: int) -> Progress | None:
        progress, before, total = self._progress, sum(self._sizes[:at]), sum(self._sizes)
        return None if progress is None else lambda done, _: progress(min(before + done, total), total)

    def _noted(self) -> list[Staged]:
        """What was staged before this was interrupted, as far as it is there; never the last piece, whose
        parts are quickly written."""
        try:
            with open(self._notes, "rb") as file:
                notes, _ = document.decode(self._shown(file.read()), Notes, self._notes)
        except FileNotFoundError:
            return []
        except (SaverError, OSError) as error:
            logger.warning("%s: what was written before an interruption is written again", error)
            return []
        found: list[Staged] = []
        for each, group in zip(notes.pieces, self._groups[:-1], strict=False):
            packs = packs_of(each.tensors.values())
            there = all(self._repo.storage.stat(pack_key(pack)) is not None for pack in packs)
            if not there or each.store != self._repo.format().id or not _is_of(each, group):
                break
            found.append(each)
        return found

    def _shown(self, notes: bytes) -> bytes:
        """Notes about a sealed store are hidden with its key: they have names and hashes of tensors."""
        mask = self._repo.storage.mask
        return notes if mask is None else (mask.unmasked(notes.decode("latin-1")) or "").encode()

    def _note(self) -> None:
        folder = os.path.dirname(self._notes)
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            with open(f"{self._notes}.new", "wb") as file:
                notes = document.encode(Notes(1, tuple(self._staged[: len(self._groups) - 1])))
                mask = self._repo.storage.mask
                file.write(notes if mask is None else mask.masked(notes.decode()).encode())
            os.replace(f"{self._notes}.new", self._notes)
        except OSError as error:
            logger.warning("%s: an interruption would cost what is written now", error)


def _is_of(staged: Staged, group: Encoded) -> bool:
    """Whether this is what was staged of a group."""
    shards, cuts = group.in_shards()
    found = {name: (shard.hash, shard.blocks) for name, shard in staged.tensors.items()}
    return (
        not staged.parts
        and staged.cuts == cuts
        and found == {name: group.hashed.get(name) for name in shards}
    )
