"""What trees ask for: codecs, classes, and nodes that others refer to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from saver import trust
from saver.codec.absent import absence
from saver.codec.contract import Codec
from saver.codec.lookup import codec_for, codec_named
from saver.errors import IncompatibleError
from saver.tree import Node


class Needed:
    """Everything that some nodes ask for, looked up before anything is built, so that nothing is built if
    something is wrong. Raises IncompatibleError, and what finding a class raises.

    `codecs` by their names, `classes` by the name of the codec and their own, `targets` are the nodes that
    others can refer to, by id.
    """

    def __init__(self, where: str, versions: Callable[[Iterable[str]], str]) -> None:
        self._where = where
        self._versions = versions
        self.codecs: dict[str, Codec] = {}
        self.classes: dict[tuple[str, str], Any] = {}
        self.targets: dict[int | str, Node] = {}

    def look_up(self, nodes: Collection[Node], allowed: trust.Allowed) -> None:
        """Look up what these nodes ask for; most ask for the same as others."""
        asked: dict[tuple[str, str | None, int], None] = {}
        for node in nodes:
            asked[node.codec, node.cls, node.version] = None
            if node.id is not None:
                if node.id in self.targets:
                    raise IncompatibleError(f"{self._where}: two nodes have the id {node.id}", rule="2.09")
                self.targets[node.id] = node
        try:
            for codec, cls, version in asked:
                self._look_up(codec, cls, version, allowed)
        except ImportError as error:
            raise absence(nodes, self._where, error) from error

    def _look_up(self, name: str, cls: str | None, version: int, allowed: trust.Allowed) -> None:
        codec = self.codecs.get(name)
        if codec is None:
            codec = self.codecs[name] = codec_named(name)
        if not 1 <= version <= codec.version:
            raise IncompatibleError(
                f"{self._where}: version {version} of {name!r} is newer than this Saver, which reads up to "
                f"{codec.version}; install a newer Saver{self._versions(['saver'])}",
                rule="2.18",
            )
        if cls is None:
            return
        if type(codec).class_of is Codec.class_of:
            raise IncompatibleError(
                f"{self._where}: a {name!r} asks for {trust.dotted(cls)}, but needs no class", rule="2.20"
            )
        if (name, cls) not in self.classes:
            found = self.classes[name, cls] = allowed.find(name, cls)
            self._demand_own(codec, cls, found)

    def _demand_own(self, codec: Codec, cls: str, found: Any) -> None:
        """Refuse a class that another codec saves, which looks at its instances whole before they are used: a
        user's own estimator by its attributes alone would be an estimator that nobody checked."""
        if codec.asks or codec.name in trust.REFERENCE_CODECS or not isinstance(found, type):
            return
        own = codec_for(found)
        if own is not None and own is not codec and not (own.by_attributes and codec.by_attributes):
            raise IncompatibleError(
                f"{self._where}: {trust.dotted(cls)} as a {codec.name!r}, but it is saved as a {own.name!r}; "
                "save it again where it is defined as it is here"
            )
