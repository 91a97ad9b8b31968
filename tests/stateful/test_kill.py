"""`kill -9` at any instant of a save, a tag, a delete, a collection: nothing acknowledged is lost.

To a kill, as opposed to a power loss, only what others can see of the file system matters: names that came
and went. So a process that is killed right after each of them is killed at every instant.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from unsynced import unsynced

import saver

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

PROGRAM = """
import itertools, json, os, signal, sys
import numpy as np
import saver
from saver.disk.files import Files
from saver.repo.gc import moving
from saver.repo.state import state
from saver.storages.local import LocalStorage

state.INTERVAL, moving.DEAD_BYTES = 2, 6000  # checkpoints are written and bytes are moved, too


class Killing(Files):
    left = None

    def sync(self, file):
        pass  # a kill takes nothing away that was written

    def sync_folder(self, path):
        pass

    def did(self):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.left is not None:
            self.left -= 1


def killing(name):
    def method(self, *arguments):
        result = getattr(Files, name)(self, *arguments)
        self.did()
        return result

    return method


for name in ("make_folder", "create", "link", "replace", "remove"):
    setattr(Killing, name, killing(name))


def value(number):
    own = float(number)
    return {"kept": np.arange(200.0), "own": np.full(2000, own), "large": np.full(9000, own)}


def tell(*what):
    os.write(1, (json.dumps(what) + "\\n").encode())


def once(store):
    yield "save", "iris@3", lambda: store.save("iris", value(3))
    yield "tag", "iris@3", lambda: store.tag("iris@3", "best")
    yield "delete", "iris@1", lambda: store.delete("iris@1", tags=True)
    yield "delete", "iris@2", lambda: store.delete("iris@2", tags=True)
    yield "gc", "", lambda: store.gc(grace=0)
    yield "save", "iris@4", lambda: store.save("iris", value(4))
    yield "other", "rose@1", lambda: store.save("rose", value(1))


def for_ever(store):
    for number in itertools.count(store.versions("iris")[-1].number + 1):
        yield "save", f"iris@{number}", lambda: store.save("iris", value(number))
        yield "tag", f"iris@{number}", lambda: store.tag(f"iris@{number}", "best")
        old = store.versions("iris")[0]
        yield "delete", str(old), lambda: store.delete(str(old), tags=True)
        yield "gc", "", lambda: store.gc(grace=0)


def live(folder, left):
    files = Killing()
    store = saver.Saver(LocalStorage(folder, files))
    files.left = left
    for name, ref, act in for_ever(store) if left is None else once(store):
        tell("try", name, ref)
        act()
        tell("done", name, ref)


for line in sys.stdin:
    folder, left = json.loads(line)
    child = os.fork()
    if child == 0:
        tell("begin", os.getpid())
        live(folder, left)
        os._exit(0)
    tell("ended", os.waitpid(child, 0)[1])
"""


def value(number: int) -> dict[str, Any]:
    own = float(number)
    return {"kept": np.arange(200.0), "own": np.full(2000, own), "large": np.full(9000, own)}


class Life(NamedTuple):
    """What was done, by name and ref, what was under way in the end, and whether it was killed."""

    done: list[tuple[str, str]]
    under_way: tuple[str, str] | None
    killed: bool


class Lives:
    """A process that lives a life for each request, up to where it is killed."""

    def __init__(self, cache: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "SAVER_CACHE": str(cache)},
        )  # fmt: skip

    def _told(self) -> Iterator[list[Any]]:
        """What it tells: what it tries, what is done, and that it ended."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield json.loads(line)

    def live(self, folder: Path, left: int | None, acts: int = 0, delay: float = 0.0) -> Life:
        """One more life: it ends right after so many names, and one, came or went.

        Without `left` it goes on for ever, and is killed `delay` seconds after so many acts are done.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([str(folder), left]) + "\n")
        self._process.stdin.flush()
        life, killer = Life([], None, False), None
        _, child = next(self._told())
        for what, *about in self._told():
            match what:
                case "try":
                    life = life._replace(under_way=(about[0], about[1]))
                case "done":
                    life = Life([*life.done, (about[0], about[1])], None, False)
                case "ended":
                    assert about[0] in (0, signal.SIGKILL), "it failed by itself"
                    return life._replace(killed=about[0] == signal.SIGKILL)
            if left is None and killer is None and len(life.done) == acts:
                killer = threading.Timer(delay, os.kill, (child, signal.SIGKILL))
                killer.start()
        raise AssertionError("it tells no more")

    def end(self) -> None:
        self._process.communicate()


@pytest.fixture
def lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lives]:
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    found = Lives(tmp_path / "cache")
    yield found
    found.end()


def all_is_there(
    store: saver.Saver, saved: set[str], deleted: set[str], perhaps: tuple[str, str] | None
) -> None:
    """What was saved and not deleted, and perhaps what was under way; and it loads to the bit."""
    name, ref = perhaps or ("", "")
    there = {
        str(version)
        for model in (store.models() if store.exists() else ())
        for version in store.versions(model)
    }
    assert there >= saved - deleted - ({ref} if name == "delete" else set())
    assert there <= saved - deleted | ({ref} if name in ("save", "other") else set())
    for ref in there:
        wanted, found = value(int(ref.partition("@")[2])), store.load(ref)
        assert all(np.array_equal(found[part], wanted[part]) for part in wanted), ref
    assert store.check().sound


def test_after_each_name_that_came_or_went(lives: Lives, tmp_path: Path) -> None:
    before, folder = tmp_path / "before", tmp_path / "models"
    for number in (1, 2):
        unsynced(before).save("iris", value(number))
    ended = False
    left = 0
    while not ended:
        shutil.copytree(before, folder)
        done, under_way, killed = lives.live(folder, left)
        ended = not killed
        store = unsynced(folder)
        saved = {"iris@1", "iris@2", *(ref for name, ref in done if name in ("save", "other"))}
        deleted = {ref for name, ref in done if name == "delete"}
        all_is_there(store, saved, deleted, under_way)
        if ("tag", "iris@3") in done:
            assert store.version("iris@best").number == 3
        assert store.load(str(store.save("new", value(9))))["own"][0] == 9.0
        store.gc(grace=0, everything=True)
        again = store.check()
        assert again.sound
        assert again.garbage == ()
        kinds = {json.loads(path.read_text())["event"]["kind"] for path in folder.glob("log/*.json")}
        shutil.rmtree(folder)
        left += 1
    assert kinds == {"commit", "tag", "delete", "condemn"}
    assert left > 25, "it was killed at every instant"


def test_at_random_again_and_again(lives: Lives, tmp_path: Path) -> None:
    """The same store is used, and the process that uses it killed, thirty times."""
    folder = tmp_path / "models"
    unsynced(folder).save("iris", value(1))
    saved, deleted = {"iris@1"}, set[str]()
    chance = random.Random(7)
    for _ in range(30):
        done, under_way, killed = lives.live(folder, None, chance.randrange(8), chance.uniform(0, 0.05))
        assert killed
        saved |= {ref for name, ref in done if name == "save"}
        deleted |= {ref for name, ref in done if name == "delete"}
        store = unsynced(folder)
        all_is_there(store, saved, deleted, under_way)
        there = {str(version) for version in store.versions("iris")}
        saved, deleted = saved | there, deleted | (saved - there)
        if ("tag", ref := f"iris@{len(saved)}") in done:
            assert str(store.version("iris@best")) == ref
        number = store.versions("iris")[-1].number + 1
        assert str(store.save("iris", value(number))) == f"iris@{number}"
        saved.add(f"iris@{number}")
    assert saved == {f"iris@{number}" for number in range(1, len(saved) + 1)}
    assert len(saved) > 60
    store.gc(grace=0, everything=True)
    assert store.check().garbage == ()
