"""One file: `dump`, `load` and `describe`. A single file is a pack whose metadata holds the manifest."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from saver import environment
from saver import trust as policy
from saver.codec import Decoder, Encoder, check, codec_root
from saver.environment import Git, package_version
from saver.errors import Damaged, Unsupported, Untrusted, VersionWarning
from saver.fields import fields
from saver.pack import Entry, Pack, Progress, write_pack
from saver.pack.layout import plan
from saver.repo import manifest as manifests
from saver.repo.manifest import Manifest, Part
from saver.tree import Node, Ref, Tensor, Value, parse, settle, to_json, walk

SOLE = "model"
"""The name of the only part of what is not a mapping."""

PARTS_LIMIT = 64
"""A mapping with more keys than this is one part: a state dict, not a set of parts."""

MANIFEST = "saver.manifest"

VERSION_BOUND = ("sklearn",)
"""Packages whose fitted objects carry private state that other versions may read differently."""


def dump(obj: Any, path: str | os.PathLike[str], *, progress: Progress | None = None) -> int:
    """Write `obj` whole to one file, durably, or nothing. Returns the bytes written.

    A dict with string keys (64 at most) makes its keys the parts. When this returns, the file survives a
    power loss; until then, what was at `path` before is untouched. `progress(done, total)` is called
    with bytes while large data is written. Raises CannotSave for what has no data form, naming its
    path, CannotWrite when the bytes cannot be made durable, and CommitUnknown in the rare case that the
    new file stands there but its folder cannot be synced.
    """
    git = Git()
    encoder, trees, whole = _encode(obj)
    names = {name: _tensor_names(tree, encoder.batches, name) for name, tree in trees.items()}
    packages = {name: _packages(tree) for name, tree in trees.items()}
    held = {package for found in packages.values() for package in found}
    document = Manifest(
        format=manifests.FORMAT,
        parts={},
        whole=whole,
        time=time.time(),
        environment=environment.describe(held, encoder.seeds, git),
    )
    planned = {entry.name: entry for entry in plan(encoder.tensors)}

    def describe(hashes: Mapping[str, str]) -> dict[str, str]:
        entries = {
            name: msgspec.structs.replace(planned[name], hash=digest) for name, digest in hashes.items()
        }
        for name, tree in trees.items():
            batches = _batches_of(name, encoder.batches)
            digest = manifests.part_hash(tree, batches, entries, names[name])
            document.parts[name] = Part(tree=tree, batches=batches, hash=digest, packages=packages[name])
        return {MANIFEST: manifests.encode(document)}

    return write_pack(os.fspath(path), encoder.tensors, describe, progress)


def _encode(obj: Any) -> tuple[Encoder, dict[str, Value], bool]:
    """The trees of the parts, and whether they are those of one mapping."""
    encoder = Encoder()
    pieces = _parts(obj)
    if pieces is not None:
        trees = {name: encoder.part(name, piece) for name, piece in pieces.items()}
        if not encoder.has_met(obj):
            return encoder, trees, True
        encoder = Encoder()  # the mapping contains itself, so it must be a node
    return encoder, {SOLE: encoder.part(SOLE, obj)}, False


def _parts(obj: Any) -> dict[str, Any] | None:
    if type(obj) is not dict or not 0 < len(obj) <= PARTS_LIMIT:
        return None
    if not all(
        type(key) is str and key.isprintable() and 0 < len(key) <= 100 and "/" not in key for key in obj
    ):
        return None
    return obj


def _batches_of(part: str, batches: Mapping[str, Value]) -> dict[str, Value]:
    return {name: state for name, state in batches.items() if name.rpartition("/")[0] == part}


def _tensor_names(tree: Value, batches: Mapping[str, Value], part: str) -> list[str]:
    roots = (tree, *_batches_of(part, batches).values())
    return [item.name for root in roots for item in walk(root) if type(item) is Tensor]


def _packages(tree: Value) -> tuple[str, ...]:
    found = set()
    for item in walk(tree):
        if type(item) is Node:
            name = item.cls or item.codec
            found.add(name.partition(":")[0].partition(".")[0] if item.cls else codec_root(name))
    return tuple(sorted(found - {"builtins", "stdlib"}))


def load(
    path: str | os.PathLike[str],
    *,
    trust: Iterable[str] = (),
    lazy: bool = False,
    progress: Progress | None = None,
) -> Any:
    """What was saved, to the bit, without running code from the file.

    Every byte is checked against its hash before anything is built. `trust` names classes of your own
    that may be imported, as in `trust=["mypackage.*"]`. With `lazy=True` bytes are checked when they are
    needed: parts of a mapping come back as a read-only mapping that reads each part when it is asked for.

    Large arrays are views of a private mapping of the file: writing to them changes memory only. Replace
    a loaded file by renaming another over it (as `dump` does), never by overwriting it in place.

    Raises NotFound, Unsupported (not a Saver file, or of a newer one), Damaged, or Untrusted, which lists
    every class that the policy does not know.
    """
    opened = _Opened(os.fspath(path))
    opened.admit(trust)
    if lazy and opened.manifest.whole:
        return LazyParts(opened)
    if not lazy:
        opened.pack.verify(progress=progress)
    decoder = opened.decoder(verified=not lazy)
    opened.warn(opened.manifest.parts)
    if not opened.manifest.whole:
        return decoder(opened.part(SOLE).tree)
    return {name: decoder(part.tree) for name, part in opened.manifest.parts.items()}


class _Opened:
    """A single file whose header has been verified, and its trees parsed."""

    def __init__(self, path: str) -> None:
        self.pack = Pack(path)
        text = self.pack.metadata.get(MANIFEST)
        if text is None:
            raise Unsupported(f"{path} is a pack of a store, without a manifest; open its store instead")
        self.path = path
        self.manifest = manifests.decode(text, path)
        self.found: list[Node | Tensor | Ref] = []
        self.batches: dict[str, Any] = {}
        if not self.manifest.whole and list(self.manifest.parts) != [SOLE]:
            raise Damaged(f"{path}: the manifest must have the single part {SOLE!r}")
        try:
            for name, part in self.manifest.parts.items():
                self._parse(name, part, f"{path}: part {name!r}")
        except RecursionError:
            raise Damaged(f"{path}: nested too deep; restore the file from a copy") from None

    def _parse(self, name: str, part: Part, where: str) -> None:
        found: list[Node | Tensor | Ref] = []
        part.tree = parse(part.tree, where, found)
        for batch, state in part.batches.items():
            self.batches[batch] = parse(state, where, found)
        settle(found, name)
        self.found += found

    def admit(self, trusted: Iterable[str]) -> None:
        """Raise unless the trees are sound and all they ask for is trusted. Imports nothing."""
        self.nodes = check(self.found, self.pack.entries, self.path)
        policy.audit(self.nodes, trusted, self.path)

    def part(self, name: str) -> Part:
        return self.manifest.parts[name]

    def decoder(self, verified: bool) -> Decoder:
        return Decoder(self.nodes, self.batches, self.pack if verified else _Verifying(self.pack), self.path)

    def warn(self, parts: Iterable[str]) -> None:
        """Warn of parts that were saved under another version of a package that they depend on."""
        recorded = self.manifest.environment.get("packages", {})
        for package in VERSION_BOUND:
            concerned = [name for name in parts if package in self.part(name).packages]
            then, now = recorded.get(package), package_version(package)
            if concerned and then != now:
                name = environment.DISTRIBUTIONS.get(package, package)
                warnings.warn(
                    f"{self.path}: {', '.join(concerned)} saved under {name} {then}, loaded under {now}; "
                    "check the results, or install the version it was saved with",
                    VersionWarning,
                    stacklevel=3,
                )


class _Verifying:
    """The tensors of a pack, each checked the first time it is asked for."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._checked: set[str] = set()

    def tensor(self, name: str) -> Any:
        if name not in self._checked:
            self._pack.verify([name])
            self._checked.add(name)
        return self._pack.tensor(name)


class LazyParts(Mapping[str, Any]):
    """The parts of a file, each read and verified when it is first asked for."""

    def __init__(self, opened: _Opened) -> None:
        self._opened = opened
        self._decoder = opened.decoder(verified=False)
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            tree = self._opened.manifest.parts[name].tree
            self._opened.warn([name])
            self._built[name] = self._decoder(tree)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._opened.manifest.parts)

    def __len__(self) -> int:
        return len(self._opened.manifest.parts)


class PartInfo(msgspec.Struct, frozen=True):
    """A part as `describe` tells it: its classes outermost first, its tensors, its plain fields.

    `bytes` counts the tensors and the structure in the manifest. `values` are texts from the file, for
    people to read (see saver.fields).
    """

    name: str
    kind: str
    hash: str
    bytes: int
    tensors: tuple[Entry, ...]
    classes: tuple[str, ...]
    values: dict[str, str]


class Description(msgspec.Struct, frozen=True):
    """What lies in a file, told without building or importing any of it. `time` is Unix time, UTC."""

    path: str
    bytes: int
    hash: str
    time: float
    parts: tuple[PartInfo, ...]
    environment: dict[str, Any]
    untrusted: tuple[str, ...]


def describe(path: str | os.PathLike[str]) -> Description:
    """What lies in a file: parts, shapes, sizes, dtypes, environment. Builds and imports nothing.

    The header is verified, the tensors are not. `untrusted` names the classes that `load` will ask for.
    """
    opened = _Opened(os.fspath(path))
    try:
        opened.admit(())
        untrusted: tuple[str, ...] = ()
    except Untrusted as error:
        untrusted = error.names
    return Description(
        opened.path,
        opened.pack.size,
        opened.pack.hash,
        opened.manifest.time,
        tuple(_part_info(opened, name) for name in opened.manifest.parts),
        opened.manifest.environment,
        untrusted,
    )


def _part_info(opened: _Opened, name: str) -> PartInfo:
    part = opened.part(name)
    items = [item for root in (part.tree, *part.batches.values()) for item in walk(root)]
    entries = [opened.pack.entries[item.name] for item in items if isinstance(item, Tensor)]
    classes = dict.fromkeys(policy.dotted(i.cls) for i in items if isinstance(i, Node) and i.cls)
    tree = part.tree
    kind = policy.dotted(tree.cls or tree.codec) if isinstance(tree, Node) else type(tree).__name__
    length = sum(e.length for e in entries) + len(to_json([tree, part.batches]))
    return PartInfo(name, kind, part.hash, length, tuple(entries), tuple(classes), fields(tree))
