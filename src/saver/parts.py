"""Objects as named parts, and parts as objects again: what single files and stores have in common."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver import environment, registry
from saver import trust as policy
from saver.codec import Budget, Decoder, Encoder, bytes_of, check, codec_root
from saver.environment import package_version
from saver.errors import DamagedError, NotFoundError, VersionWarning
from saver.pack import Entry
from saver.repo.manifest import Manifest, Part
from saver.storage import Progress
from saver.tree import Node, Ref, Tensor, TensorData, Value, parse, settle, walk

if TYPE_CHECKING:
    from saver.repo.draft import DraftPart

SOLE = "model"
"""The name of the only part of what is not a mapping."""

PARTS_LIMIT = 64
"""A mapping with more keys than this is one part: a state dict, not a set of parts."""


class EncodedPart(msgspec.Struct):
    """A part as data: its tree, the batches that belong to it, the names of its tensors, and of the
    packages that its classes come from.
    """

    tree: Value
    batches: dict[str, Value]
    tensors: list[str]
    packages: tuple[str, ...]
    version: int = 1


class Encoded(msgspec.Struct):
    """An object as data. `whole` says that the parts were one mapping; `seeds` are those of estimators,
    by path.
    """

    parts: dict[str, EncodedPart]
    tensors: dict[str, TensorData]
    seeds: dict[str, int]
    whole: bool

    @property
    def packages(self) -> set[str]:
        """All packages that classes come from."""
        return {package for part in self.parts.values() for package in part.packages}

    def drafted(self) -> dict[str, DraftPart]:
        """The parts as a store takes them."""
        from saver.repo.draft import DraftPart

        return {
            name: DraftPart(part.tree, part.batches, part.packages, part.tensors)
            for name, part in self.parts.items()
        }


def encode(obj: Any) -> Encoded:
    """The parts of an object. A dict with string keys (64 at most) makes its keys the parts.

    Raises CannotSaveError for what has no data form, naming its path.
    """
    encoder, trees, whole = _walk(obj)
    parts = {}
    for name, tree in trees.items():
        batches = {
            batch: state for batch, state in encoder.batches.items() if batch.rpartition("/")[0] == name
        }
        held = [
            item.name for root in (tree, *batches.values()) for item in walk(root) if type(item) is Tensor
        ]
        parts[name] = EncodedPart(tree, batches, held, _packages(tree))
    return Encoded(parts, encoder.tensors, encoder.seeds, whole)


def _walk(obj: Any) -> tuple[Encoder, dict[str, Value], bool]:
    """The trees of the parts, and whether they are those of one mapping."""
    encoder = Encoder()
    if _makes_parts(obj):
        trees = {name: encoder.part(name, piece) for name, piece in obj.items()}
        if not encoder.has_met(obj):
            return encoder, trees, True
        encoder = Encoder()  # the mapping contains itself, so it must be a node
    return encoder, {SOLE: encoder.part(SOLE, obj)}, False


def _makes_parts(obj: Any) -> bool:
    if type(obj) is not dict or not 0 < len(obj) <= PARTS_LIMIT:
        return False
    return all(
        type(key) is str and key.isprintable() and 0 < len(key) <= 100 and "/" not in key for key in obj
    )


def _packages(tree: Value) -> tuple[str, ...]:
    found = set()
    for item in walk(tree):
        if type(item) is Node:
            name = item.cls or item.codec
            found.add(name.partition(":")[0].partition(".")[0] if item.cls else codec_root(name))
    return tuple(sorted(found - {"builtins", "stdlib"}))


class VerifiedTensors(Protocol):
    """Where the tensors of a version are read from."""

    @property
    def names(self) -> Iterable[str]:
        """The names of all tensors."""

    @property
    def size(self) -> int:
        """How many bytes are stored, by which it is judged what loading may take."""

    def entry(self, name: str) -> Entry:
        """What a tensor is, without reading it. KeyError when there is none."""

    def tensor(self, name: str) -> tuple[str, tuple[int, ...], NDArray[np.uint8]]:
        """safetensors dtype, shape and bytes, verified when they are read for the first time. KeyError."""

    def verify(self, names: Iterable[str] | None = None, progress: Progress | None = None) -> None:
        """Read and verify the tensors named, or all, on several threads. Raises DamagedError."""


class Opened:
    """A manifest whose trees were parsed, with its tensors. Builds and imports nothing until it is asked to.

    `where` is what messages call it: a path, or a ref.
    """

    def __init__(self, manifest: Manifest, tensors: VerifiedTensors, where: str) -> None:
        self.manifest = manifest
        self.tensors = tensors
        self.where = where
        self._found: dict[str, list[Node | Tensor | Ref]] = {}
        self._batches: dict[str, Any] = {}
        if not manifest.whole and list(manifest.parts) != [SOLE]:
            raise DamagedError(f"{where}: the manifest must have the single part {SOLE!r}")
        try:
            for name, part in manifest.parts.items():
                self._parse(name, part)
        except RecursionError:
            raise DamagedError(f"{where}: nested too deep; restore the file from a copy") from None

    def _parse(self, name: str, part: Part) -> None:
        found: list[Node | Tensor | Ref] = []
        where = f"{self.where}: part {name!r}"
        part.tree = parse(part.tree, where, found)
        for batch, state in part.batches.items():
            self._batches[batch] = parse(state, where, found)
        part.batches = {batch: self._batches[batch] for batch in part.batches}
        settle(found, name)
        self._found[name] = found

    def entry(self, name: str) -> Entry:
        """What a tensor is, without reading it. KeyError when there is none."""
        return self.tensors.entry(name)

    def tensor(self, name: str) -> tuple[str, tuple[int, ...], NDArray[np.uint8]]:
        """safetensors dtype, shape and verified bytes. KeyError when there is none."""
        return self.tensors.tensor(name)

    def part(self, name: str) -> Part:
        """A part. Raises NotFoundError, which says which parts there are."""
        try:
            return self.manifest.parts[name]
        except KeyError:
            there = ", ".join(list(self.manifest.parts)[:20])
            raise NotFoundError(f"{self.where} has no part {str(name)[:80]!r}; it has {there}") from None

    def needed(self, parts: Iterable[str]) -> list[str]:
        """The parts, and those that they refer to, in the order of the manifest."""
        waiting, found = [name for name in parts if self.part(name)], set[str]()
        if len(set(waiting)) == len(self.manifest.parts):
            return list(self.manifest.parts)
        while waiting:
            name = waiting.pop()
            if name not in found and name in self._found:
                found.add(name)
                waiting += {item.part for item in self._found[name] if type(item) is Ref and item.part}
        return [name for name in self.manifest.parts if name in found]

    def tensors_of(self, parts: Iterable[str]) -> list[str]:
        """The names of the tensors that must be read to build some parts, also those of other parts."""
        names: dict[str, None] = {}
        nodes = {
            item.id: (name, item)
            for name, found in self._found.items()
            for item in found
            if type(item) is Node and item.id is not None
        }
        chosen = list(parts)
        with_batches, seen = set(chosen), set[int]()
        waiting: list[Any] = []
        for name in chosen:
            waiting += [self.part(name).tree, *self.part(name).batches.values()]
        while waiting:
            item = waiting.pop()
            if type(item) is Tensor:
                names[item.name] = None
            elif type(item) is Node and id(item) not in seen:
                seen.add(id(item))
                waiting.append(item.state)
            elif type(item) is Ref and item.id in nodes:
                home, node = nodes[item.id]
                waiting.append(node)
                if home not in with_batches:
                    with_batches.add(home)
                    waiting += self.part(home).batches.values()
            elif isinstance(item, (list, dict)):
                waiting.extend(item if isinstance(item, list) else item.values())
        return list(names)

    def admit(self, trusted: Iterable[str], parts: Iterable[str] | None = None) -> list[Node]:
        """The nodes of some parts, or all. Raises unless they are sound and all they ask for is trusted.
        Imports nothing.
        """
        names = self.needed(self.manifest.parts if parts is None else parts)
        found = [item for name in names for item in self._found[name]]
        nodes = check(found, self.tensors.names, self.where)
        policy.audit(nodes, trusted, self.where)
        return nodes

    def budget(self, limit: int | str | None = None) -> Budget:
        """What loading may take: in proportion to the size, or up to a `limit` in bytes."""
        return Budget(self.tensors.size, bytes_of(limit), self.where)

    def decoder(self, nodes: Iterable[Node], budget: Budget | None = None) -> Decoder:
        """What builds objects, of nodes that were admitted."""
        return Decoder(nodes, self._batches, self.tensors, self.where, budget or self.budget())

    def warn(self, parts: Iterable[str], frames: int = 4) -> None:
        """Warn of parts that were saved under another version of a package that they depend on. The
        caller of Saver is so many `frames` up.
        """
        recorded = self.manifest.environment.get("packages", {})
        for package in _version_bound():
            concerned = [name for name in parts if package in self.part(name).packages]
            then, now = recorded.get(package), package_version(package)
            if concerned and then != now:
                name = environment.distribution(package)
                warnings.warn(
                    f"{self.where}: {', '.join(concerned)} saved under {name} {then}, loaded under {now}; "
                    "check the results, or install the version it was saved with",
                    VersionWarning,
                    stacklevel=frames,
                )

    def load(
        self,
        trust: Iterable[str],
        parts: Iterable[str] | None = None,
        lazy: bool = False,
        progress: Progress | None = None,
        limit: int | str | None = None,
    ) -> Any:
        """The objects: all that was saved, or a dict of the parts named."""
        budget = self.budget(limit)
        names = list(self.manifest.parts) if parts is None else list(dict.fromkeys(parts))
        nodes = self.admit(trust, names)
        if lazy and (self.manifest.whole or parts is not None):
            return LazyParts(self, names, nodes, budget)
        if not lazy:
            self.tensors.verify(None if parts is None else self.tensors_of(names), progress)
        decoder = self.decoder(nodes, budget)
        self.warn(names)
        if parts is None and not self.manifest.whole:
            return self.build(SOLE, decoder)
        return {name: self.build(name, decoder) for name in names}

    def build(self, name: str, decoder: Decoder) -> Any:
        """The object of a part."""
        decoder.budget.part = name
        return decoder(self.part(name).tree)


@cache
def _version_bound() -> list[str]:
    """Packages whose objects carry private state that other versions may read differently."""
    return [family.packages[0] for family in registry.families() if family.version_bound]


def encoded_again(opened: Opened, raw: Manifest, progress: Progress | None = None) -> Encoded:
    """What was opened as data to be written elsewhere, without building it. `raw` is its manifest with
    raw trees.

    Reads and verifies all tensors. Equal parts have equal hashes there.
    """
    opened.tensors.verify(progress=progress)
    parts = {}
    for name, part in opened.manifest.parts.items():
        roots = (part.tree, *part.batches.values())
        held = [item.name for root in roots for item in walk(root) if type(item) is Tensor]
        old = raw.parts[name]
        parts[name] = EncodedPart(old.tree, old.batches, held, part.packages, part.version)
    needed = dict.fromkeys(name for part in parts.values() for name in part.tensors)
    try:
        tensors = {name: TensorData(*opened.tensor(name)) for name in needed}
    except KeyError as error:
        raise DamagedError(f"{opened.where} refers to the tensor {error}, which is not there") from None
    return Encoded(parts, tensors, {}, raw.whole)


class LazyParts(Mapping[str, Any]):
    """The parts of a version, each read and verified when it is first asked for."""

    def __init__(self, opened: Opened, names: list[str], nodes: list[Node], budget: Budget) -> None:
        self._opened = opened
        self._names = names
        self._decoder = opened.decoder(nodes, budget)
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            if name not in self._names:
                raise KeyError(name)
            self._opened.warn([name], 3)
            self._built[name] = self._opened.build(name, self._decoder)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
