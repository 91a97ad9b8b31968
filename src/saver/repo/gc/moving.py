"""Packs that are mostly dead: their live bytes move to new ones, so that they can be freed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from saver.errors import CannotWriteError, DamagedError, IncompatibleError, NotFoundError, is_full
from saver.pack import PackedTensors, PackWriter, Progress
from saver.repo.events import Event, Move, Relocate
from saver.repo.extents import Ranges
from saver.repo.gc.living import Living
from saver.repo.objects import is_collectable, pack_key
from saver.repo.packing import put_pack
from saver.repo.reading import open_packs
from saver.repo.repository import Repository
from saver.repo.state.needs import pack_in
from saver.seals.decompressing import DecompressedBlob
from saver.tensors import Cut, Shard, TensorData, in_one

DEAD_SHARE = 0.5
"""Packs with a larger share of dead bytes are rewritten."""

DEAD_BYTES = 1 << 20
"""The least number of dead bytes for which a pack is rewritten."""


class Mover:
    """Moves the live bytes of packs, and records where they are now."""

    def __init__(self, repo: Repository, progress: Progress | None) -> None:
        self._repo, self._users = repo, repo.users
        self._progress = progress

    def judge(self) -> tuple[dict[str, int], tuple[str, ...]]:
        """Move the live bytes of packs that are mostly dead. Returns the keys of the packs that stay, each
        with the record that freed it in part, and the keys of those that were moved."""
        repo, users = self._repo, self._users
        stay: dict[str, int] = {}
        moved: list[str] = []
        freed = {
            pack_in(key): number for key, number in repo.state.all_freed().items() if key.startswith("packs/")
        }
        for pack in sorted(users.targets(freed)):
            if not is_collectable(pack_key(pack)) or not users.needs(pack_key(pack)):
                continue
            try:
                gone = repo.state.gone(pack_key(pack)) is not None
                stays = gone or users.is_manifest(pack_key(pack))
                living = self._mostly_dead(pack) if not stays else None
                if living is not None and self._move(pack, living):
                    moved.append(pack_key(pack))
                elif living is None and pack in freed:
                    stay[pack_key(pack)] = freed[pack]
            except (DamagedError, IncompatibleError, NotFoundError):
                continue  # without all manifests it is unknown what is live; `check` reports them
        return stay, tuple(moved)

    def _mostly_dead(self, pack: str) -> Living | None:
        """What is live in a pack that is worth rewriting; None if enough of the pack is live.

        Reads the manifests of versions that need it until that is clear, which usually takes one.
        """
        repo, living = self._repo, Living()
        stat = repo.storage.stat(pack_key(pack))
        if stat is None or stat.size <= DEAD_BYTES:
            return None
        size = repo.open_pack(pack).size  # it may be compressed
        enough = size - max(DEAD_BYTES, DEAD_SHARE * size)
        look = 1
        for count, name in enumerate(self._users.of(pack), 1):
            living.add_version(name, repo.tensors(self._users.version(name)), pack)
            if count == look:
                look *= 2
                if living.bytes() >= enough:
                    return None
        return living if living.bytes() < enough else None

    def _move(self, pack: str, living: Living) -> bool:
        """Move what is live in a pack. False if it stays: it is damaged, there is no room, or it is needed
        otherwise by now."""
        repo, units = self._repo, living.units()
        writer = self._copied(pack, units, living.cuts(units))
        if writer is None:
            return False
        moves: list[Move] = [
            (units[name].extents[0][1], length, target, offset)
            for name, shard in writer.shards.items()
            for target, offset, length in shard.extents
        ]
        relocate = Relocate({pack: tuple(sorted(moves))}, (pack_key(pack),))

        def decide() -> Event | None:
            """Decide again: there may be a new version that needs more of the pack, or another collector."""
            gone = [key for key in (pack, writer.id) if repo.state.gone(pack_key(key)) is not None]
            return None if gone or not self._covers(pack, living, moves) else relocate

        if repo.append(decide) is not None:
            self._users.took([pack_key(pack)])
            return True
        repo.storage.delete(pack_key(writer.id))
        return False

    def _copied(self, pack: str, units: Mapping[str, Shard], cuts: Mapping[str, Cut]) -> PackWriter | None:
        """A new pack with these shards of a pack. None if one is damaged, which `check` will report (damage
        is never copied), or if the disk is full."""
        repo = self._repo
        infos = {name: in_one(name, unit) for name, unit in units.items()}
        where = f"{repo.storage}: {pack_key(pack)}"
        stored = PackedTensors(infos, partial(open_packs, repo), where, "run `saver check`")
        try:
            stored.verify(progress=self._progress)
        except (DamagedError, IncompatibleError):
            return None
        tensors = {
            name: TensorData(unit.dtype, unit.shape, stored.read(name)) for name, unit in units.items()
        }
        writer = PackWriter(tensors, ident=repo.fresh(), cuts=cuts)
        try:
            as_before = isinstance(repo.open_pack(pack), DecompressedBlob)
            put_pack(repo.storage.put, writer, repo.compress or as_before)
        except CannotWriteError as error:
            if is_full(error):  # later, when there is room
                return None
            raise
        return writer

    def _covers(self, pack: str, living: Living, moves: list[Move]) -> bool:
        """Whether all live bytes of a pack are among the moves."""
        self._users.refresh()
        ranges = Ranges((offset, length) for offset, length, _, _ in moves)
        return all(
            ranges.hold(offset, length)
            for name in self._users.of(pack)
            if name not in living.versions
            for known in self._repo.known(self._users.version(name)).values()
            for at, offset, length in known.extents
            if at == pack
        )
