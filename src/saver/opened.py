"""A version or a file, opened: its manifest, its trees, and where its tensors are read from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from saver import environment, registry
from saver import trust as policy
from saver.callers import warn
from saver.codec import Budget, Decoder, Device, bytes_of, check
from saver.environment import package_version
from saver.errors import IncompatibleError, NotFoundError, VersionWarning, quoted
from saver.garbage import uncollected
from saver.lazy import Building, LazyParts
from saver.needed import rests_on
from saver.repo.manifest import EXAMPLE, SOLE, Manifest, values
from saver.signing.signatures import Signature
from saver.storage import Progress
from saver.tensors import TensorSource
from saver.tree import Item, Node, Reference, Shapes, Tensor, Value, parse, settle

if TYPE_CHECKING:
    from saver.repo.repository import Repository
    from saver.repo.version import Version


class Tree(msgspec.Struct, frozen=True):
    """A parsed part: its root, its batches, and every node, tensor and reference in them.

    Ids are unique in the version: `model/7` is the 7 of the part `model`.
    """

    root: Value
    batches: Mapping[str, Value]
    items: list[Item]

    @property
    def roots(self) -> tuple[Value, ...]:
        """The values from which a walk through the whole part starts."""
        return (self.root, *self.batches.values())


class Opened:
    """An opened version or file. It builds and imports nothing until it is asked to, and never changes.

    `manifest` is without the example of predictions, if there is one: `example` is that, opened by itself,
    and `written` the manifest with it. `where` is what messages call it: a path, or a ref. `size` is its
    size in bytes, and `hash` vouches for all of them: the hash of a file's header, or of a version's
    manifest. `signatures` are of all of it, `tags` were its own as it was found; what is `secret` was sealed.
    """

    def __init__(
        self, manifest: Manifest, tensors: TensorSource, where: str, size: int, digest: str,
        signatures: tuple[Signature, ...] = (), tags: tuple[str, ...] = (), secret: bool = False,
    ) -> None:  # fmt: skip
        self.written = manifest
        self.manifest = manifest = _without_example(manifest)
        self.tensors = tensors
        self.where = where
        self.size = size
        self.hash = digest
        self.signatures, self.tags, self.secret = signatures, tags, secret
        if not manifest.whole and list(manifest.parts) != [SOLE]:
            raise IncompatibleError(f"{where}: the manifest must have the single part {SOLE!r}", rule="2.05")
        try:
            self.trees: Mapping[str, Tree] = uncollected(_all_parsed, manifest, where)
        except RecursionError:
            raise IncompatibleError(f"{where}: nested too deeply; no Saver wrote this", rule="2.16") from None
        self.batches: dict[str, Value] = {}
        """The batches of all parts, by name."""
        for tree in self.trees.values():
            self.batches |= tree.batches

    @cached_property
    def nodes(self) -> Mapping[int | str, Node]:
        """The nodes that references can point to, by id."""
        found = (item for tree in self.trees.values() for item in tree.items if type(item) is Node)
        return {node.id: node for node in found if node.id is not None}

    @cached_property
    def example(self) -> Opened | None:
        """What the version records of its predictions (`saver.predicting`), as the only part of it."""
        if EXAMPLE not in self.written.parts or self.written is self.manifest:
            return None
        manifest = msgspec.structs.replace(
            self.written, parts={EXAMPLE: self.written.parts[EXAMPLE]}, whole=True
        )
        return Opened(manifest, self.tensors, self.where, self.size, self.hash)

    def tree(self, name: str) -> Tree:
        """The tree of a part. Raises NotFoundError, which lists the parts that exist."""
        try:
            return self.trees[name]
        except KeyError:
            there = ", ".join(list(self.trees)[:20])
            raise NotFoundError(f"{self.where} has no part {quoted(name)}; it has {there}") from None

    def without(self, part: str) -> Opened:
        """The same, as if this part had not been saved."""
        parts = {name: found for name, found in self.manifest.parts.items() if name != part}
        manifest = msgspec.structs.replace(self.manifest, parts=parts)
        return Opened(manifest, self.tensors, self.where, self.size, self.hash)

    def only(self, parts: Iterable[str]) -> Opened:
        """The same, as if only these parts had been saved, and those that they refer to."""
        names = self.needed(parts)
        if len(names) == len(self.trees):
            return self
        kept = {name: self.manifest.parts[name] for name in names}
        manifest = msgspec.structs.replace(self.manifest, parts=kept)
        return Opened(manifest, self.tensors, self.where, self.size, self.hash)

    def needed(self, parts: Iterable[str]) -> list[str]:
        """These parts and those that they refer to, in the order of the manifest."""
        waiting, found = [name for name in parts if self.tree(name)], set[str]()
        if len(set(waiting)) == len(self.trees):
            return list(self.trees)
        while waiting:
            name = waiting.pop()
            if name not in found and name in self.trees:
                found.add(name)
                waiting += {
                    item.part for item in self.trees[name].items if type(item) is Reference and item.part
                }
        return [name for name in self.trees if name in found]

    def tensors_of(self, parts: Iterable[str]) -> list[str]:
        """The names of the tensors that must be read to build these parts, including tensors of other
        parts."""
        names: dict[str, None] = {}
        chosen = list(parts)
        with_batches, seen = set(chosen), set[int]()
        waiting: list[Any] = [root for name in chosen for root in self.tree(name).roots]
        while waiting:
            item = waiting.pop()
            if type(item) is Tensor:
                names[item.name] = None
            elif type(item) is Node and id(item) not in seen:
                seen.add(id(item))
                waiting.append(item.state)
            elif type(item) is Reference and item.id in self.nodes:
                waiting.append(self.nodes[item.id])
                home = str(item.id).rpartition("/")[0]
                if home not in with_batches:
                    with_batches.add(home)
                    waiting += self.trees[home].batches.values()
            elif isinstance(item, (list, dict)):
                waiting.extend(item if isinstance(item, list) else item.values())
        return list(names)

    def admit(
        self, trusted: Iterable[str] | policy.Allowed, parts: Iterable[str] | None = None
    ) -> list[Node]:
        """The nodes of these parts (None: all). Raises unless they are sound and everything they ask for is
        trusted. Imports nothing.
        """
        names = self.trees if parts is None else self.needed(parts)
        found = [item for name in names for item in self.trees[name].items]
        nodes = check(found, self.tensors.names, self.where)
        policy.audit(nodes, trusted, self.where)
        return nodes

    def budget(self, limit: int | str | None = None) -> Budget:
        """What loading may use: in proportion to the size, or up to `limit` in bytes."""
        return Budget(self.tensors.size, bytes_of(limit), self.where)

    def decoder(
        self,
        nodes: Collection[Node],
        budget: Budget | None = None,
        device: Device | None = None,
        trusted: Iterable[str] | policy.Allowed = (),
    ) -> Decoder:
        """A decoder that builds objects from nodes that were admitted with the same `trusted`."""
        return Decoder(
            nodes,
            self.batches,
            self.tensors,
            self.where,
            budget or self.budget(),
            device,
            self.versions,
            policy.allowed(trusted),
        )

    def versions(self, packages: Iterable[str]) -> str:
        """The end of a message: under which versions of these packages this was saved, and the way out."""
        return environment.saved_under(self.manifest.environment.get("packages", {}), packages)

    def warn(self, parts: Iterable[str]) -> None:
        """Warn about parts that were saved under another version of a package that they depend on."""
        recorded = self.manifest.environment.get("packages", {})
        for package in _version_bound():
            then, now = recorded.get(package), package_version(package)
            asked = parts if now is not None and then != now else ()
            of = {n: (self.manifest.parts[n].packages, self.trees[n].items if then else ()) for n in asked}
            if concerned := [part for part in of if rests_on(package, *of[part])]:
                name = environment.distribution(package)
                nodes = (item for part in concerned for item in self.trees[part].items)
                classes = {item.cls for item in nodes if type(item) is Node and item.cls is not None}
                broken = registry.family(package).broken(classes, str(then), str(now))
                told = "".join(f"{sentence}. " for sentence in broken)
                warn(
                    f"{self.where}: {', '.join(concerned)} saved under {name} {then}, loaded under {now}; "
                    f"{told}{'C' if told else 'c'}heck the results, or install the version it was saved with",
                    VersionWarning,
                )

    def load(
        self,
        trust: Iterable[str] | policy.Allowed,
        parts: Iterable[str] | None = None,
        *,
        lazy: bool = False,
        writable: bool = False,
        device: Any = None,
        limit: int | str | None = None,
        progress: Progress | None = None,
    ) -> Any:
        """The objects: everything that was saved, or a dict of the named parts; see `saver.load`."""
        budget, target, trusted = self.budget(limit), Device.named(device), policy.allowed(trust)
        names = list(self.trees) if parts is None else list(dict.fromkeys(parts))
        nodes = self.admit(trusted, None if parts is None else names)
        if writable:
            self.tensors.own()
        sole = parts is None and not self.manifest.whole
        if not lazy:
            self.tensors.verify(None if parts is None else self.tensors_of(names), progress)
            self.warn(names)  # before what another version lacks is refused
        roots = {name: self.trees[name].root for name in names}
        if lazy:
            build = Building(uncollected(self.decoder, nodes, budget, target, trusted), self.nodes)
            found = LazyParts(roots, build, self.warn)
            return found[SOLE] if sole else found
        built = uncollected(self._built, roots, nodes, budget, target, trusted)
        return built[SOLE] if sole else built

    def _built(
        self,
        roots: Mapping[str, Value],
        nodes: list[Node],
        budget: Budget,
        device: Device | None,
        trusted: policy.Allowed,
    ) -> dict[str, Any]:
        """The objects of parts, by their names."""
        decoder = self.decoder(nodes, budget, device, trusted)
        built: dict[str, Any] = {}
        for name, root in roots.items():
            budget.part = name
            built[name] = decoder(root)
        return built


def _without_example(manifest: Manifest) -> Manifest:
    """The manifest as if no example had been saved, unless it has nothing else."""
    if EXAMPLE not in manifest.parts or len(manifest.parts) == 1:
        return manifest
    parts = {name: part for name, part in manifest.parts.items() if name != EXAMPLE}
    return msgspec.structs.replace(manifest, parts=parts)


def _all_parsed(manifest: Manifest, where: str) -> dict[str, Tree]:
    """The trees of all parts."""
    shapes, found = Shapes(), values(manifest.parts, where)
    return {name: _parsed(name, tree, batches, where, shapes) for name, tree, batches in found}


def _parsed(name: str, tree: Any, states: Mapping[str, Any], where: str, shapes: Shapes) -> Tree:
    items: list[Item] = []
    where = f"{where}: part {name!r}"
    root = parse(tree, where, items, shapes)
    batches: dict[str, Value] = {}
    for batch, state in states.items():
        batches[batch] = parse(state, where, items, shapes)
    settle(items, name)
    return Tree(root, batches, items)


def open_version(repo: Repository, version: Version) -> Opened:
    """Open a version of a store."""
    from saver.repo.reading import opened, source  # a file needs no store

    found, blobs = opened(repo, version)
    manifest = found.manifest
    if manifest.notes != version.notes:  # which may have been edited
        manifest = msgspec.structs.replace(manifest, notes=version.notes)
    tensors = source(repo, version, found, blobs)
    said = version.signatures, version.tags, repo.storage.mask is not None
    return Opened(manifest, tensors, found.where, version.bytes, version.manifest, *said)


@cache
def _version_bound() -> list[str]:
    """Packages whose objects carry private state that other versions may read differently."""
    return [family.packages[0] for family in registry.families() if family.version_bound]
