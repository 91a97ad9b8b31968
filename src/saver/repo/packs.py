"""Reads all packs of a store: what is damaged, and which versions are affected."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import NamedTuple, TypeAlias

import msgspec

from saver.errors import DamagedError, IncompatibleError, NotFoundError, SaverError
from saver.pack import Pack, Range, damaged
from saver.pack.ranges import ENDS, ends_early
from saver.page import Said
from saver.repo.batches import Tally, in_batches
from saver.repo.extents import Ranges
from saver.repo.headers import contradiction
from saver.repo.objects import pack_key
from saver.repo.packing import in_proportion
from saver.repo.replay import Replay
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.seals.recognizing import opened
from saver.storage import Blob, Progress
from saver.tensors import Extent, Shard


class Damage(Said, msgspec.Struct, frozen=True):
    """Something that is not as it was saved. `model`, `number`, `part` and `tensor` say what is affected,
    if a version is; `key` is the object in the store, `what` describes the damage, and `rule` is the number
    of the rule of the format that it breaks, "" if none is known.
    """

    key: str
    what: str
    model: str = ""
    number: int = 0
    part: str = ""
    tensor: str = ""
    rule: str = ""

    def _line(self) -> str:
        whose = f" ({self.model}@{self.number} {self.part} {self.tensor}".rstrip() + ")" if self.model else ""
        return f"{self.key}: {self.what}{whose}"


class Use(msgspec.Struct, frozen=True):
    """A tensor of a version, or one of its shards: then `tensor` is the name of the shard in packs."""

    version: Version
    parts: tuple[str, ...]
    tensor: str
    known: Shard

    def damage(self, key: str, what: str, rule: str) -> list[Damage]:
        """The damage to this tensor, part by part."""
        version = self.version
        return [
            Damage(key, what, version.model, version.number, part, self.tensor, rule)
            for part in self.parts or ("",)
        ]


_Used: TypeAlias = tuple[Extent, str, Use]
"""An extent that has its own hash, that hash, and what needs it."""


class _Examined(NamedTuple):
    """What was found in a pack of this size, and in its header: the tensors of the header that are `lost`,
    what is needed `beyond` its end, with the rule by which it was `cut` off, and what has other bytes."""

    size: int
    pack: Pack | SaverError
    lost: set[str]
    beyond: list[_Used]
    cut: str
    bad: list[_Used]


class Packs:
    """All packs, and what versions need of them. `damage` is what was found; `harm` is the damaged extents,
    by pack. `lost` are the keys of packs that were already reported as making a version unreadable; `files`
    are those of packs that hold the manifest of a version, whether or not their bytes are needed.
    """

    def __init__(self, repo: Repository, replay: Replay) -> None:
        self.damage: list[Damage] = []
        self.harm: dict[str, set[tuple[int, int]]] = {}
        self.lost: set[str] = set()
        self.files: set[str] = set()
        self._repo = repo
        self._replay = replay
        self._uses: dict[str, list[_Used]] = {}

    def use(self, use: Use) -> None:
        """Note that a version needs a tensor."""
        for _, digest, extent in use.known.block_extents():
            self._uses.setdefault(extent[0], []).append((extent, digest, use))

    @property
    def used(self) -> set[str]:
        """The keys of the packs that some version needs."""
        return set(map(pack_key, self._uses))

    def read(self, keys: Iterable[str], size: Callable[[str], int], tally: Tally) -> int:
        """Verify packs, by their own headers and by what the manifests say. `size` is how many bytes a pack
        has; returns how many were read."""
        read, examine = 0, partial(self._examined, tally)
        for key, found in in_batches(self._repo.storage, sorted(keys), examine, size):
            if isinstance(found, NotFoundError):  # deleted by a collector since it was listed, perhaps
                self._report(key, self._uses_of(key), "the pack is missing", "5.16")
            elif isinstance(found, SaverError):
                self._report(key, self._uses_of(key), str(found), found.rule or "")
                if not self._uses_of(key) and key not in self.lost:
                    self.damage.append(Damage(key, str(found), rule=found.rule or ""))
            else:
                self._note(key, found)
                read += found.size
        return read

    def _uses_of(self, key: str) -> list[_Used]:
        return self._uses.get(_name_in(key), [])

    def _examined(self, tally: Tally, key: str) -> _Examined | SaverError:
        """What is wrong with a pack. Only reads, so that this can be done for several at the same time."""
        try:
            stored, report = self._repo.storage.open(key), tally.of_one()
            found = self._examine(key, stored, report)
            report(stored.size, stored.size)
            return found
        except (NotFoundError, DamagedError, IncompatibleError) as error:
            return error

    def _examine(self, key: str, stored: Blob, progress: Progress) -> _Examined:
        blob = opened(stored)
        if blob.size > stored.size:  # it is compressed
            progress = in_proportion(progress, stored.size, blob.size)
        beyond = [each for each in self._uses_of(key) if each[0][1] + each[0][2] > blob.size]
        cut = ends_early(blob) if beyond else ""
        pack, lost = _opened(blob), set[str]()
        sound: dict[tuple[int, int], str] = {}
        if isinstance(pack, Pack):
            lost = pack.damaged(progress=progress)
            sound = {(each.start, each.end): each.hash for each in pack.ranges() if each.name not in lost}
        ranges, by_name = [], {}
        for number, (extent, digest, use) in enumerate(self._uses_of(key)):
            _, offset, length = extent
            if offset + length <= blob.size and sound.get((offset, offset + length)) != digest:
                ranges.append(Range(str(number), offset, offset + length, digest))
                by_name[str(number)] = (extent, digest, use)
        bad = [by_name[name] for name in sorted(damaged([(blob, ranges)]), key=int)]
        return _Examined(stored.size, pack, lost, beyond, cut, bad)

    def _note(self, key: str, found: _Examined) -> None:
        """Note what is wrong with a pack."""
        if found.beyond:
            self._report(key, found.beyond, "the pack is cut off", found.cut)
        if isinstance(found.pack, SaverError) and not found.beyond:
            # Versions can be read without the header.
            error = found.pack
            ends = error.rule in ENDS
            self._harmless(key, str(error) if ends else f"its header is damaged ({error})", error.rule)
        self._report(key, found.bad, "the bytes are not those that were saved", "1.22")
        if isinstance(found.pack, Pack):
            self._header(key, found.pack, found.lost)

    def _harmless(self, key: str, what: str, rule: str | None) -> None:
        if key in self.lost:
            return
        needed = self._uses_of(key) or key in self.files
        effect = "the versions stored in it are not affected" if needed else "no version needs it"
        self.damage.append(Damage(key, f"{what}; {effect}", rule=rule or ""))

    # Headers

    def _header(self, key: str, pack: Pack, lost: set[str]) -> None:
        """Report what is wrong in a header, which other readers use."""
        name = _name_in(key)
        if pack.id != name:
            self._harmless(key, f"its header calls it {pack.id[:40]!r}", None)
        needed = self._uses_of(key) or key in self.files
        alone = sorted(lost - self._reported(name, pack, lost)) if needed else sorted(lost)
        if alone:
            what = f"the bytes of {', '.join(alone[:5])} are not those that its header describes"
            self._harmless(key, what, "1.22")
        for use in self._written_for(name):
            other = contradiction(pack, use.tensor, use.known)
            if other is not None and self._is_needed(key, use.version):
                self.damage += use.damage(key, other, "")

    def _reported(self, name: str, pack: Pack, lost: set[str]) -> set[str]:
        """The tensors whose damage was reported, now or by an earlier check, and may have been repaired."""
        harmed = Ranges([*self._repo.state.harmed(name), *self.harm.get(name, ())])
        return {each.name for each in pack.ranges(lost) if harmed.meet(each.start, each.end - each.start)}

    def _written_for(self, name: str) -> Iterable[Use]:
        """The tensors that a pack was written for, if it holds them whole."""
        uses = {id(use): use for _, _, use in self._uses.get(name, ()) if len(use.known.extents) == 1}
        return (use for use in uses.values() if self._replay.wrote(name, use.version))

    # What is affected

    def _report(self, key: str, uses: Collection[_Used], what: str, rule: str) -> None:
        reported = set[tuple[str, str]]()
        if uses:
            self._repo.state.refresh()
        for extent, _, use in uses:
            if not self._is_needed(key, use.version):
                continue
            self.harm.setdefault(extent[0], set()).add((extent[1], extent[2]))
            if (str(use.version), use.tensor) not in reported:
                reported.add((str(use.version), use.tensor))
                self.damage += use.damage(key, what, rule)

    def _is_needed(self, key: str, version: Version) -> bool:
        """Whether a version still needs an object: it was not deleted meanwhile, nor were its bytes moved."""
        state = self._repo.state
        live = state.version(version.model, version.number) is not None
        return live and state.gone(key) is None


def _opened(blob: Blob) -> Pack | SaverError:
    """A pack, or what is wrong with its header."""
    try:
        return Pack(blob)
    except NotFoundError:
        raise
    except SaverError as error:
        return error


def _name_in(key: str) -> str:
    return key.removeprefix("packs/").removesuffix(".safetensors")
