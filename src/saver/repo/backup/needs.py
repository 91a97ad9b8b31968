"""What a copy needs: the objects of the live versions, and what is known of the bytes in them."""

from __future__ import annotations

from blake3 import blake3

from saver.errors import DamagedError, IncompatibleError, NotFoundError, SaverError
from saver.pack import Pack, Range, damaged
from saver.repo.backup.copy import Copy
from saver.repo.batches import in_batches
from saver.repo.described import Described, read_outline
from saver.repo.extents import Ranges
from saver.repo.manifest import manifest_key
from saver.repo.objects import pack_key, tree_key
from saver.repo.packs import Damage
from saver.repo.repository import Repository
from saver.repo.state.needs import pack_in
from saver.repo.version import Version
from saver.seals.recognizing import opened
from saver.storage import Blob
from saver.tensors import packs_of, shards_of


class Gone(Exception):
    """An object that a live version needed was collected meanwhile: read again which versions are live."""


class Needs:
    """What the live versions of a store need, with the `damage` found in it, by object."""

    def __init__(self, repo: Repository, copy: Copy) -> None:
        self._repo, self._copy = repo, copy
        self.damage: dict[str, list[Damage]] = {}
        self._hashes: dict[str, set[tuple[int, int, str]]] = {}
        """By pack, the places that the manifests name: start, end, and the hash of the bytes there."""
        self._files: dict[str, str] = {}
        """By pack that holds a manifest, the hash of its header."""

    def living(self) -> tuple[int, list[Version]]:
        """The head, and the versions that are live at that record."""
        repo = self._repo
        while True:
            repo.state.refresh()
            head = repo.state.head
            versions = [version for model, _ in repo.models() for version in repo.versions(model)]
            if head == repo.state.head:
                return head, versions

    def of(self, versions: list[Version]) -> dict[str, list[Version]]:
        """The keys of all objects that these versions need, manifests last, each with its versions."""
        packs: dict[str, list[Version]] = {}
        self.damage.clear()
        for version, found in in_batches(self._repo.storage, versions, self._outline):
            for pack in sorted(self._packs_of(version, found)):
                packs.setdefault(pack_key(pack), []).append(version)
            for tree in version.trees:
                packs.setdefault(tree_key(tree), []).append(version)
        for version in versions:
            users = packs.setdefault(_described_by(version), [])
            users += [version] if version not in users else []
        return packs

    def _outline(self, version: Version) -> Described | SaverError:
        """What the document of a version says, or what is wrong with it."""
        try:
            return self.outline(version)
        except (NotFoundError, DamagedError, IncompatibleError) as error:
            return error

    def _packs_of(self, version: Version, found: Described | SaverError) -> set[str]:
        """The packs of a version. If its manifest is not sound, the packs that the log names."""
        key = _described_by(version)
        if version.file:
            self._files[key] = version.manifest
        try:
            if isinstance(found, SaverError):
                raise found
            known = shards_of(self._repo.extents.of(found).values())
        except NotFoundError:
            self.demand_unchanged()
            self.note(key, [version], "the manifest is missing")
        except (DamagedError, IncompatibleError) as error:
            self.note(key, [version], str(error))
        else:
            for item in known.values():
                for _, digest, (pack, offset, length) in item.block_extents():
                    self._hashes.setdefault(pack_key(pack), set()).add((offset, offset + length, digest))
            return packs_of(known.values())
        packs = self._repo.extents.reached(version.packs)
        return {pack for pack in packs if self._repo.state.gone(pack_key(pack)) is None}

    def outline(self, version: Version) -> Described:
        """What the document of a version says, from the store or, if that is damaged, from the copy. Raises
        NotFoundError, DamagedError or IncompatibleError."""
        damage: DamagedError | IncompatibleError | None = None
        for storage in (self._repo.storage, self._copy.storage):
            try:
                return read_outline(storage, version)
            except NotFoundError:
                continue
            except (DamagedError, IncompatibleError) as error:
                damage = damage or error
        raise damage or NotFoundError(f"{self._repo.storage}: {_described_by(version)} is missing")

    def demand_unchanged(self) -> None:
        """Raise Gone if the log has new records: a version may be deleted, or its bytes moved."""
        before = self._repo.state.head
        self._repo.state.refresh()
        if self._repo.state.head != before:
            raise Gone

    def note(self, key: str, versions: list[Version], what: str) -> None:
        """Note that an object, which these versions need, is damaged in the store."""
        self.damage.setdefault(key, []).extend(
            Damage(key, what, version.model, version.number) for version in versions
        )

    def damage_of(self, key: str, blob: Blob) -> str | None:
        """What is wrong with a document or a pack, by its own hashes and by what manifests say about it;
        None if nothing is."""
        try:
            if not key.startswith("packs/"):
                sound = blake3(blob.read()).hexdigest() == key.rpartition("/")[2].removesuffix(".json")
                return None if sound else "the bytes are not those that were written"
            blob = opened(blob)
            pack = Pack(blob)
            if pack.hash != self._files.get(key, pack.hash):
                return "its header is not the one that was written"
            harmed = Ranges(self._repo.state.harmed(pack_in(key)))
            # Damage that a check reported may be healed; the needs of versions are looked at below.
            reported = {each.name for each in pack.ranges() if harmed.meet(each.start, each.end - each.start)}
            lost = pack.damaged() - reported
            needed = [Range(key, start, end, digest) for start, end, digest in self._hashes.get(key, ())]
            if lost or damaged([(blob, needed)]):
                return "the bytes are not those that were saved"
        except SaverError as error:
            return str(error)
        return None


def _described_by(version: Version) -> str:
    """The key of the object that holds the manifest of a version."""
    return manifest_key(version.manifest, version.file)
