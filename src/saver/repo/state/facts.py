"""What the log says, as typed answers. Nothing outside of `repo/state` knows the keys behind them.

They are stored in a sorted map from string keys to values:

    model <name>                    a ModelState
    version <name> <number>         a VersionState
    step <name> <step> <number>     that number: the version has that step
    tag <name> <tag>                the number of a version
    gone <object key>               the record that condemned it
    freed <object key>              the record of a deletion after which it may be garbage, in part at least
    moved <pack>                    the records that say where bytes of the pack went
    harmed <pack>                   places (offset, length) that must not be shared
    void <transaction>              the record that says that this commit must not take place
    holders                         the bundle with the keys of those who can open the store
    refused <record>                why a record is void: its signer has no right to it
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from saver.repo.numbered import PartVersion
from saver.signing.signatures import Signature
from saver.strict import decodable

Span: TypeAlias = tuple[int, int]
"""Offset and length in a pack, in bytes."""


@decodable
class ModelState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model: the last number that was assigned; the number of live versions, and the newest of them; for
    every part that any version had, its last number and hash; how much the store grew by the live versions;
    and its labels and notes, which outlive them."""

    last: int = 0
    count: int = 0
    latest: int | None = None
    parts: dict[str, tuple[int, str]] = {}
    bytes_added: int = 0
    labels: dict[str, str] = {}
    notes: str = ""


@decodable
class VersionState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A version: what its commit says, plus the record's time and author; and what was labelled and noted
    since. `edited` are the notes that took the place of those of the commit, `signatures` the newest of each
    key."""

    manifest: str
    parts: dict[str, PartVersion]
    time: float
    author: str = ""
    packs: tuple[str, ...] = ()
    parent: int | None = None
    step: int | None = None
    metrics: dict[str, float | str] = {}
    notes: str = ""
    bytes: int = 0
    bytes_added: int = 0
    trees: tuple[str, ...] = ()
    file: str = ""
    labels: dict[str, str] = {}
    edited: str | None = None
    signatures: tuple[Signature, ...] = ()


HOLDERS = "holders"

KINDS: dict[str, Any] = {
    "model": ModelState,
    "version": VersionState,
    "step": int,
    "tag": int,
    "gone": int,
    "freed": int,
    "moved": list[int],
    "harmed": list[tuple[int, int]],
    "void": int,
    HOLDERS: str,
    "refused": str,
}
"""The first word of a key → the type of its value."""

END = "\U0010ffff"
"""Sorts after every continuation of a key."""

_NUMBERED = frozenset(("version", "step", "refused"))
"""First words of keys that end with a number."""


def converted(key: str, value: Any) -> Any:
    """The value of a key as its type. Raises ValueError or KeyError if no log can say this."""
    kind = key.partition(" ")[0]
    if kind in _NUMBERED:
        number_in(key)
    return msgspec.convert(value, KINDS[kind])


def number_in(key: str) -> int:
    """The number at the end of a key. Raises ValueError."""
    last = key.rpartition(" ")[2]
    if not last.isascii() or not last.isdigit():
        raise ValueError("the key does not end with a number")
    return int(last)


def model_key(model: str) -> str:
    """The key of a model."""
    return f"model {model}"


def version_key(model: str, number: int) -> str:
    """The key of a version; keys of one model sort by number."""
    return f"version {model} {number:012}"


def step_key(model: str, step: int, number: int | None = None) -> str:
    """The key of a version with a step, or the prefix of the keys of all versions with that step."""
    return f"step {model} {step:015} " + (f"{number:012}" if number is not None else "")


def tag_key(model: str, tag: str = "") -> str:
    """The key of a tag, or the prefix of the keys of all tags of the model."""
    return f"tag {model} {tag}"


def gone_key(key: str) -> str:
    """The key of an object's condemnation."""
    return f"gone {key}"


def freed_key(key: str) -> str:
    """The key of an object that a deletion freed."""
    return f"freed {key}"


def moved_key(pack: str) -> str:
    """The key of the records that moved bytes of a pack."""
    return f"moved {pack}"


def harmed_key(pack: str) -> str:
    """The key of the damaged places of a pack."""
    return f"harmed {pack}"


def void_key(transaction: str) -> str:
    """The key of a commit that must not take place."""
    return f"void {transaction}"


def refused_key(number: int) -> str:
    """The key of a record that is void; they sort by number."""
    return f"refused {number:020}"


class Facts(ABC):
    """Answers what the log says, as of one record. Scans are lazy, and may be stopped early."""

    @property
    @abstractmethod
    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """Who may do what: the rights of each public key. None at all if everybody may do everything."""

    @abstractmethod
    def get(self, key: str) -> Any:
        """The value of a key; None if it has none."""

    @abstractmethod
    def scan(self, prefix: str, reverse: bool = False) -> Iterator[tuple[str, Any]]:
        """The keys that begin with `prefix`, in order, with their values."""

    # Models and versions

    def model(self, name: str) -> ModelState | None:
        """A model that ever had a version; None for others."""
        found: ModelState | None = self.get(model_key(name))
        return found

    def models(self, group: str = "") -> Iterator[tuple[str, ModelState]]:
        """All models that ever had a version, sorted by name; or those whose name begins with `group`."""
        for key, value in self.scan(model_key(group)):
            yield key.removeprefix("model "), value

    def version(self, model: str, number: int) -> VersionState | None:
        """A live version; None if there is none."""
        found: VersionState | None = self.get(version_key(model, number))
        return found

    def versions(self, model: str, reverse: bool = False) -> Iterator[tuple[int, VersionState]]:
        """The live versions of a model, sorted by number."""
        for key, value in self.scan(f"version {model} ", reverse):
            yield number_in(key), value

    def all_versions(self) -> Iterator[tuple[str, int, VersionState]]:
        """The live versions of all models, each with its model and number."""
        for key, value in self.scan("version "):
            yield key.removeprefix("version ").rpartition(" ")[0], number_in(key), value

    def newest_with_step(self, model: str, step: int) -> int | None:
        """The number of the newest live version with this step."""
        found = next(self.scan(step_key(model, step), reverse=True), None)
        return found[1] if found is not None else None

    # Tags

    def tag(self, model: str, tag: str) -> int | None:
        """The number of the version that a tag names."""
        found: int | None = self.get(tag_key(model, tag))
        return found

    def tags(self, model: str) -> dict[str, int]:
        """The tags of a model, each with the number of its version."""
        return {key.rpartition(" ")[2]: number for key, number in self.scan(tag_key(model))}

    def all_tags(self, group: str = "") -> Iterator[tuple[str, str, int]]:
        """Every tag of the models of a group, with its model and the number of its version."""
        for key, number in self.scan(f"tag {group}"):
            model, _, tag = key.removeprefix("tag ").rpartition(" ")
            yield model, tag, number

    # Objects

    def gone(self, key: str) -> int | None:
        """The number of the record that condemned the object of this key."""
        found: int | None = self.get(gone_key(key))
        return found

    def all_gone(self) -> Iterator[str]:
        """The keys of all objects that were ever condemned."""
        return (key.removeprefix("gone ") for key, _ in self.scan("gone "))

    def freed(self, key: str) -> int | None:
        """The number of the record of the last deletion after which an object may be garbage."""
        found: int | None = self.get(freed_key(key))
        return found

    def all_freed(self) -> dict[str, int]:
        """The keys of all objects that deletions may have freed, each with the number of the last one."""
        return {key.removeprefix("freed "): number for key, number in self.scan("freed ")}

    def moved(self, pack: str) -> Sequence[int]:
        """The numbers of the records that say where bytes of a pack went."""
        found: list[int] | None = self.get(moved_key(pack))
        return found or ()

    def all_moved(self) -> set[int]:
        """The numbers of all records that moved bytes."""
        return {number for _, numbers in self.scan("moved ") for number in numbers}

    def harmed(self, pack: str) -> Sequence[Span]:
        """The damaged places of a pack, which must not be shared."""
        found: list[Span] | None = self.get(harmed_key(pack))
        return found or ()

    # Commits

    def void(self, transaction: str) -> int | None:
        """The number of the record that says that the commit with this transaction must not take place."""
        found: int | None = self.get(void_key(transaction))
        return found

    # Keys

    def bundle(self) -> str:
        """The name of the bundle with the keys of those who can open the store; "" before any was
        recorded."""
        return self.get(HOLDERS) or ""

    def refused(self, number: int, grants: bool = False) -> str | None:
        """Why a record is void: its signer has no right to it; None if it is not. Without roles none is but
        one that `grants` some, and nothing needs to be read."""
        if not self.roles and not grants:
            return None
        found: str | None = self.get(refused_key(number))
        return found

    def all_refused(self) -> Iterator[tuple[int, str]]:
        """The records that are void, each with the reason."""
        return ((number_in(key), reason) for key, reason in self.scan("refused "))
