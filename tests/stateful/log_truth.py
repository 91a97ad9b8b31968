"""What the log of a store says, read straight from its documents, without the code under test."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from saver.storage import Storage

Content: TypeAlias = dict[str, bytes]
"""What a store holds, by key."""

Listed: TypeAlias = dict[str, "Logged"]
"""The live versions by ref."""

_parsed = lru_cache(4096)(json.loads)


class Logged(NamedTuple):
    """A version as the log records it. `holds` names its content: the first word of its notes."""

    holds: str
    manifest: str
    packs: tuple[str, ...]
    parent: int | None
    step: int | None
    metrics: dict[str, float]
    tags: tuple[str, ...] = ()


class Moment(NamedTuple):
    """The live versions, and what refs held, after a record."""

    live: Listed
    refs: dict[str, str]


class Truth:
    """The log, read to its end. Raises AssertionError for one that no correct program writes.

    `moments` is the state after each record from `since` on.
    """

    def __init__(self, content: Content, since: int = 1 << 60) -> None:
        keys = sorted(key for key in content if key.startswith("log/"))
        assert keys == [f"log/{number:020}.json" for number in range(1, len(keys) + 1)], "the log has a gap"
        self.head = len(keys)
        self.last: dict[str, int] = {}
        self.condemned: set[str] = set()
        self.commits: list[tuple[str, str]] = []
        """Of every version that ever was its ref and what it holds."""

        self.moves: list[str] = []
        self.moments: list[Moment] = []
        self._live: dict[str, dict[int, dict[str, Any]]] = {}
        self._tags: dict[str, dict[str, int]] = {}
        for number, key in enumerate(keys, 1):
            self._take(_parsed(content[key])["event"])
            if number >= since or number == self.head:
                self.moments.append(self._moment())

    @property
    def now(self) -> Moment:
        return self.moments[-1]

    def _take(self, event: dict[str, Any]) -> None:
        model = event.get("model", "")
        live, tags = self._live.setdefault(model, {}), self._tags.setdefault(model, {})
        match event["kind"]:
            case "commit":
                number = event["number"]
                assert number == self.last.get(model, 0) + 1, (
                    f"{model}@{number}: numbers with a gap, or double"
                )
                self.last[model] = number
                needed = {_pack(pack) for pack in event.get("packs", ())}
                needed |= {_tree(name) for name in event.get("trees", ())}
                needed.add(_pack(event["file"]) if "file" in event else _manifest(event["manifest"]))
                assert not needed & self.condemned, f"{model}@{number} was saved with what was condemned"
                live[number] = event
                tags.update(dict.fromkeys(event.get("tags", ()), number))
                self.commits.append((f"{model}@{number}", _holds(event)))
            case "tag" if event["number"] is None:
                tags.pop(event["tag"], None)
            case "tag":
                assert event["number"] in live, "a tag of a version that is not there"
                tags[event["tag"]] = event["number"]
            case "delete":
                for number in event["numbers"]:
                    live.pop(number, None)
                self._tags[model] = {tag: number for tag, number in tags.items() if number in live}
            case "relocate":
                self.moves.append(json.dumps(event))
        self.condemned |= set(event.get("objects", ()))

    def _moment(self) -> Moment:
        listed: Listed = {}
        refs: dict[str, str] = {}
        for model, live in self._live.items():
            tags = self._tags[model]
            for number in sorted(live):
                names = tuple(sorted(tag for tag, tagged in tags.items() if tagged == number))
                version = _logged(live[number], names)
                listed[f"{model}@{number}"] = version
                refs |= dict.fromkeys(
                    (model, f"{model}@{number}", f"{model}@step={version.step}"), version.holds
                )
                refs |= {f"{model}@{tag}": version.holds for tag in names}
        return Moment(listed, refs)


def _logged(event: dict[str, Any], tags: tuple[str, ...]) -> Logged:
    return Logged(
        _holds(event),
        event["manifest"],
        tuple(event.get("packs", ())),
        event.get("parent"),
        event.get("step"),
        event.get("metrics", {}),
        tags,
    )


def _holds(event: dict[str, Any]) -> str:
    return str(event.get("notes", "").partition(" ")[0]) or f"step {event.get('step')}"


def _pack(name: str) -> str:
    return f"packs/{name}.safetensors"


def _tree(name: str) -> str:
    return f"trees/{name[:2]}/{name}.json"


def _manifest(digest: str) -> str:
    return f"manifests/{digest[:2]}/{digest}.json"


def content_of(store: Storage) -> Content:
    return {key: store.read(key) for key in store.keys("")}


def checkpoints(content: Content) -> list[tuple[str, list[list[str]]]]:
    """The keys of the checkpoints, oldest first, each with those of its pages, by level, the root first."""
    keys = sorted(filter(re.compile(r"state/[0-9]{20}\.json").fullmatch, content), reverse=True)
    return [(key, _levels(content, json.loads(content[key])["root"])) for key in keys]


def newest_checkpoint(content: Content) -> tuple[str, list[list[str]]]:
    """The last of `checkpoints`."""
    return checkpoints(content)[-1]


def _levels(content: Content, root: str) -> list[list[str]]:
    levels, names = list[list[str]](), [root]
    while names:
        levels.append([f"state/pages/{name[:2]}/{name}.json" for name in names])
        names = [name for key in levels[-1] for name in json.loads(content[key]).get("pages", ())]
    return levels
