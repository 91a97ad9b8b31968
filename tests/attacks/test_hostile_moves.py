"""Logs that move bytes in ways in which no collection does: circles, chains, crumbs, and places elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_hostile_stores import Forged, fresh, put

import saver
import saver.repo.extents as extents
from saver.repo.log import Log
from saver.repo.state import state

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every version has a manifest of its own, and there is no cache on this machine."""
    monkeypatch.setattr("saver.repo.stage.FILE_BYTES", -1)
    monkeypatch.setattr("saver.repo.stage.WORTH_SHARING", 1)
    monkeypatch.setattr("saver.addresses._index", lambda storage, ident: None)
    monkeypatch.setattr(state, "INTERVAL", 4)


Moves = dict[str, list[list[Any]]]


def forged(act: Callable[[Moves, str, str], None]) -> Forged:
    """A store whose log tells of other moves. `act` gets them, and the names of the pack whose bytes were
    moved, and of the one that they were moved to. No checkpoint knows better."""
    found = fresh()
    for key in [key for key in found.documents if key.startswith("state/")]:
        del found.documents[key]
    events = (doc["event"] for key, doc in found.documents.items() if key.startswith("log/"))
    (event,) = (event for event in events if event["kind"] == "relocate")
    ((pack, moves),) = event["moves"].items()
    act(event["moves"], pack, moves[0][2])
    return found


def chain(moves: Moves, first: str, count: int) -> None:
    names = [first, *(f"{number:032x}" for number in range(count))]
    moves.update({one: [[0, 1 << 40, other, 0]] for one, other in pairwise(names)})


def to(name: str, there: Any = 0) -> Callable[[Moves, str, str], None]:
    """Everything was moved to that pack once more."""
    return lambda moves, pack, target: moves.update({target: [[0, 1 << 40, name, there]]})


def crumbs(moves: Moves, pack: str, target: str) -> None:
    """Each byte was moved by itself, to where it lies anyway."""
    moves[target] = [[at, 1, "f" * 32, at] for at in range(20_000)]


MOVES: dict[str, Callable[[Moves, str, str], None]] = {
    "a pack to itself": lambda moves, pack, target: moves.update({target: [[0, 1 << 40, target, 0]]}),
    "a circle of two": lambda moves, pack, target: moves.update({target: [[0, 1 << 40, pack, 0]]}),
    "a circle of 300": lambda moves, pack, target: (
        chain(moves, target, 300), moves.update({f"{299:032x}": [[0, 1 << 40, pack, 0]]})
    )[1],
    "a circle that creeps on": lambda moves, pack, target: moves.update({target: [[0, 1 << 40, target, 8]]}),
    "a chain of 64": lambda moves, pack, target: chain(moves, target, 64),
    "a chain of 3000": lambda moves, pack, target: chain(moves, target, 3000),
    "crumbs": crumbs,
    "two moves of the same bytes": lambda moves, pack, target: moves[pack].append(
        [moves[pack][0][0] + 1, 1 << 40, "0" * 32, 0]
    ),
    "a pack that is not there": to("0" * 32),
    "out of the store": to("../../../secret"),
    "an absolute path": to("/etc/passwd"),
    "another object": to("x.safetensors/../../store.json"),
    "nothing": to(""),
    "a zero": to("a\0b"),
    "a long name": to("a" * 100_000),
    "beyond the end": to("0" * 32, 1 << 70),
    "before the beginning": lambda moves, pack, target: moves.update({target: [[0, 1 << 40, pack, -9]]}),
    "a negative length": lambda moves, pack, target: moves.update({target: [[0, -5, pack, 0]]}),
    "a negative place": lambda moves, pack, target: moves.update({target: [[-100, 1 << 40, pack, 0]]}),
    "no length": lambda moves, pack, target: moves.update({target: [[0, 0, pack, 0]] * 1}),
    "a pack of a strange name": lambda moves, pack, target: moves.update({"../x": [[0, 9, "../y", 0]]}),
}  # fmt: skip

READING: dict[str, Callable[[saver.Saver, Path], Any]] = {
    "models": lambda own, folder: own.summaries(),
    "log": lambda own, folder: list(own.log()),
    "versions": lambda own, folder: own.versions("m"),
    "describe": lambda own, folder: own.describe("m@2"),
    "load": lambda own, folder: own.load("m@2"),
    "load lazily": lambda own, folder: own.load("m@2", lazy=True)["a"],
    "restore": lambda own, folder: own.restore("m@2", {"a": np.zeros(400)}, strict=False),
    "diff": lambda own, folder: own.diff("m@2", "m@3"),
    "verify": lambda own, folder: own.verify("m@2"),
    "export": lambda own, folder: own.export("m@2", folder / "m.saver"),
    "check": lambda own, folder: own.check(),
    "backup": lambda own, folder: own.backup(folder / "copy"),
    "dry gc": lambda own, folder: own.gc(dry_run=True),
}


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many records were decoded and how many pieces of bytes followed, so far."""
    done = [0]
    decoded, followed = Log.decoded, extents._moved

    def decoding(self: Log, *args: Any) -> Any:
        done[0] += 1
        return decoded(self, *args)

    def following(*args: Any) -> Any:
        for each in followed(*args):
            done[0] += 1
            yield each

    monkeypatch.setattr(Log, "decoded", decoding)
    monkeypatch.setattr(extents, "_moved", following)
    return lambda: done[0]


@pytest.mark.parametrize("move", MOVES)
def test_wherever_bytes_are_said_to_be_it_loads_or_an_error_says_why_not(
    move: str, work: Callable[[], int], tmp_path: Path
) -> None:
    store = forged(MOVES[move]).assemble()
    for name, act in READING.items():
        own, before = saver.Saver(store), work()
        try:
            act(own, tmp_path)
        except saver.SaverError as error:
            if not any(word in str(error) for word in ("restore", "check", "install")):
                raise AssertionError(f"{name}: no next step: {error}") from error
        assert work() - before < 2000, name


def test_a_chain_as_long_as_collections_make_is_followed() -> None:
    """Each collection moves bytes at most once more."""
    own = saver.Saver(forged(lambda moves, pack, target: None).assemble())
    expected = own.load("m@2")["a"]
    store = forged(lambda moves, pack, target: _moved_on(moves, target, 60))
    name = next(key for key in store.packs if key.startswith("packs/") and _target(store) in key)
    store.packs[f"packs/{59:032x}.safetensors"] = store.packs.pop(name)
    assert np.array_equal(saver.Saver(store.assemble()).load("m@2")["a"], expected)


def _moved_on(moves: Moves, target: str, count: int) -> None:
    chain(moves, target, count)


def _target(store: Forged) -> str:
    events = (doc["event"] for key, doc in store.documents.items() if key.startswith("log/"))
    moves = next(event["moves"] for event in events if event["kind"] == "relocate")
    found: str = next(iter(moves.values()))[0][2]
    return found


def test_nothing_outside_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.safetensors").write_bytes(b"s" * 10_000)
    folder = tmp_path / "store"
    for name in ("../../secret", "../secret", str(tmp_path / "secret")):
        memory = forged(to(name)).assemble()
        local = saver.Saver(folder)
        put(local._repo.storage, {key: memory.read(key) for key in memory.keys("")})
        for act in (local.verify, local.load):
            with pytest.raises(saver.SaverError, match="cannot be the key of an object"):
                act("m@2")

        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
