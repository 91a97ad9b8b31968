"""The judge of what actors leave behind, at every moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from asking import Held
from cases import Done, Loaded, Saved, content_of, draft, held, opened, stored
from explorer import Failed, Moment

from saver.errors import SaverError
from saver.repo.gc import collection
from saver.repo.save import save_version
from saver.storage import Blob
from saver.storages.memory import MemoryStorage


class _Traced(MemoryStorage):
    """Remembers what was opened of it."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: set[str] = set()

    def open(self, key: str) -> Blob:
        found = super().open(key)
        self.opened.add(key)
        return found


_Items: TypeAlias = frozenset[tuple[str, bytes]]


class History:
    """What the log says, read straight from its records, without the code under test."""

    def __init__(self, content: Held) -> None:
        keys = sorted(key for key in content if key.startswith("log/"))
        assert keys == [f"log/{number:020}.json" for number in range(1, len(keys) + 1)], "the log has a gap"
        self.commits: list[dict[str, Any]] = []
        self.live: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.condemned: set[str] = set()
        self.named: list[dict[str, str]] = [{}]
        """After each record what is held by every ref: `m`, `m@2`, `m@tag`."""
        for key in keys:
            self._take(json.loads(content[key])["event"])
            newest = {ref.partition("@")[0]: holds for ref, holds in self.live.items()}
            tagged = {tag: self.live[ref] for tag, ref in self.tags.items()}
            self.named.append({**newest, **self.live, **tagged})

    def _take(self, event: dict[str, Any]) -> None:
        if event["kind"] == "commit":
            self._commit(event)
        elif event["kind"] == "tag":
            tag = f"{event['model']}@{event['tag']}"
            self.tags.pop(tag, None)
            if event["number"] is not None:
                self.tags[tag] = f"{event['model']}@{event['number']}"
                assert self.tags[tag] in self.live, "a tag of a version that is not there"
        elif event["kind"] == "delete":
            gone = {f"{event['model']}@{number}" for number in event["numbers"]}
            self.deleted |= gone
            self.live = {ref: holds for ref, holds in self.live.items() if ref not in gone}
            self.tags = {tag: ref for tag, ref in self.tags.items() if ref not in gone}
        elif event["kind"] == "relocate":
            targets = {f"packs/{move[2]}.safetensors" for moves in event["moves"].values() for move in moves}
            assert not targets & self.condemned, "bytes were moved to a pack that is condemned"
        self.condemned |= set(event.get("objects", ()))

    def _commit(self, event: dict[str, Any]) -> None:
        same = [each for each in self.commits if each["model"] == event["model"]]
        assert event["number"] == len(same) + 1, "numbers with a gap, or double"
        versions: dict[str, tuple[int, str]] = {}
        for each in same:
            versions.update({name: (part["number"], part["hash"]) for name, part in each["parts"].items()})
        for name, part in event["parts"].items():
            number, digest = versions.get(name, (0, ""))
            assert part["number"] == number + (digest != part["hash"]), f"the number of part {name}"
        ref = f"{event['model']}@{event['number']}"
        self.commits.append(event)
        self.live[ref] = event["notes"]
        self.tags |= {f"{event['model']}@{tag}": ref for tag in event.get("tags", ())}


class Judge:
    """Holds every moment against what must hold:

    - every version in the log is there and loads to the bit, acknowledged or not: never half of
      one;
    - what was acknowledged is in the log, once, under the number that was returned;
    - numbers of versions and parts have no gaps and no doubles; tags name what they should;
    - who loads gets what some version held under that ref meanwhile, or an error that it was deleted;
    - nobody fails otherwise, but as `allowed`;
    - if everybody is killed now, the next save succeeds, and the next collection leaves what is needed,
      nothing else, and that is sound.
    """

    def __init__(self, first: Held, allowed: Callable[[str, Failed], bool] = lambda name, end: False) -> None:
        self._head = sum(key.startswith("log/") for key in first)
        self._allowed = allowed
        self._histories: dict[_Items, tuple[History, set[tuple[str, bytes]]]] = {}
        self.contents: set[_Items] = set()
        self.ends: set[tuple[str, Any]] = set()

    def __call__(self, moment: Moment) -> None:
        content, ended = moment
        try:
            history = self._living(content)
            for name, end in ended.items():
                self.ends.add((name, end))
                self._check(name, end, history)
            whole = frozenset(content.items())
            if whole not in self.contents:
                self.contents.add(whole)
                _go_on(content, history)
        except SaverError as error:
            raise AssertionError(f"{type(error).__name__}: {error}") from error

    def _living(self, content: Held) -> History:
        """All versions in the log are there, to the bit."""
        log = frozenset(item for item in content.items() if item[0].startswith("log/"))
        history, needed = self._histories.get(log, (None, set()))
        if history is None or not needed <= content.items():
            history = history or History(content)
            needed = _load_all(content, history)
            self._histories[log] = history, needed
        return history

    def _check(self, name: str, end: Any, history: History) -> None:
        match end:
            case Saved(ref, holds):
                mine = [each for each in history.commits if each["notes"] == holds]
                assert [f"{each['model']}@{each['number']}" for each in mine] == [ref], f"{name} saved {end}"
                assert ref in history.live or ref in history.deleted
            case Loaded(ref, holds):
                assert holds in {named.get(ref) for named in history.named[self._head :]}, (
                    f"{name} loaded {end}"
                )
            case Done("delete", ref):
                assert ref in history.deleted
            case Failed("NotFoundError", message) if any(f"no {ref};" in message for ref in history.deleted):
                pass
            case Failed():
                assert self._allowed(name, end), f"{name} ended with {end}"
            case Done("gc" | "tag" | "untag" | "sound" | "stage" | "early" | "void"):
                pass
            case _:
                raise AssertionError(f"{name} ended with {end}")


def _load_all(content: Held, history: History) -> set[tuple[str, bytes]]:
    """Load all versions that live; what of the store they need."""
    store = _Traced()
    for key, data in content.items():
        store.create(key, data)
    saver = opened(store, "j")
    models = saver.models() if saver.exists() else []
    assert models == sorted({ref.partition("@")[0] for ref in history.live})
    for model in models:
        versions = saver.versions(model)
        assert {str(version): version.notes for version in versions} == {
            ref: holds for ref, holds in history.live.items() if ref.partition("@")[0] == model
        }
        for version in versions:
            assert {f"{model}@{tag}" for tag in version.tags} == {
                tag for tag, ref in history.tags.items() if ref == str(version)
            }
            assert held(saver.load(str(version))) == version.notes
            assert saver._repo.described(version).manifest.number == version.number
    return {(key, content[key]) for key in store.opened}


def _go_on(content: Held, history: History) -> None:
    """Whatever happened: the next save succeeds, and a collection leaves what is needed and nothing else."""
    store = stored(content)
    saver = opened(store, "n")
    version = save_version(saver._repo, draft("af"))
    saver.gc(grace=0)
    if not collection.SMALL:  # it looked only at what was deleted
        _load_all(content_of(store), History(content_of(store)))
        saver.gc(grace=0, everything=True)
    after = History(content_of(store))
    assert after.live == {**history.live, str(version): "af"}
    needed = _load_all(content_of(store), after)
    found = saver.check()
    assert found.sound, found.damage
    assert not found.garbage
    objects = {*store.keys("packs/"), *store.keys("manifests/"), *store.keys("trees/")}
    assert objects == {key for key, _ in needed if key in objects}, "garbage is left"
