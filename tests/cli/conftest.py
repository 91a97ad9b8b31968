"""Stores for commands to work on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

import saver
from saver.repo import document
from saver.repo.draft import Draft, Encoded, EncodedPart
from saver.repo.format import STORE_KEY, Format
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.storages.local import LocalStorage
from saver.tree import Node, to_json

EVIL = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m\r\n"


@pytest.fixture(autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in, and settings of nobody."""
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    monkeypatch.delenv("SAVER_STORE", raising=False)
    monkeypatch.setenv("SAVER_AUTHOR", "ada")
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def store() -> saver.Saver:
    """The store `models` of this folder: `iris` with three versions, `team/bert` with one."""
    made = saver.Saver("models")
    scaler, model = {"mean": np.arange(300.0)}, {"weights": np.arange(2000.0)}
    made.save("iris", {"scaler": scaler, "model": model}, step=100, metrics={"loss": 0.5}, tags=["first"])
    model = {"weights": np.arange(2000.0) + 1}
    made.save(
        "iris", {"scaler": scaler, "model": model, "log": [1, 2]},
        step=200, metrics={"loss": 0.25, "f1": 0.9}, seeds=7, data={"train": np.zeros((30, 4))},
        notes="with a\nlonger warm-up",
    )  # fmt: skip
    made.save("iris", {"model": model, "log": [1, 2]}, step=300, metrics={"loss": float("nan")})
    made.save("team/bert", [np.zeros(500)], tags=["production"])
    return made


@pytest.fixture(autouse=True)
def apart(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions here are as if they were large, with a manifest of their own, unless a test is `of_files`."""
    if request.node.get_closest_marker("of_files") is None:
        monkeypatch.setattr("saver.repo.stage.FILE_BYTES", -1)
        monkeypatch.setattr("saver.repo.stage.WORTH_SHARING", 1)


@pytest.fixture
def hostile() -> Repository:
    """The store `models` of this folder: texts in it try to steer the terminal, wherever text may stand."""
    repo = Repository(LocalStorage("models"))
    part = EncodedPart(msgspec.Raw(to_json(Node("list", state=[EVIL]))), {}, (), (EVIL,))
    data = {EVIL: {"kind": EVIL, "shape": [EVIL], "hash": EVIL, "bytes": 10**400}}
    save_version(
        repo,
        Draft(
            model="evil", encoded=Encoded({EVIL: part, f"-{EVIL}": part}, {}, True), time=1e300,
            environment={EVIL: EVIL}, author=EVIL, metrics={EVIL: 1.0, ">" + EVIL: float("inf")},
            notes=f"{EVIL}\n{EVIL}", data=data,
        )
    )  # fmt: skip
    return repo


@pytest.fixture
def newer(store: saver.Saver) -> Path:
    """The same store, made by a Saver that knows more."""
    found, _ = document.decode(store.storage.read(STORE_KEY), Format, "")
    needs = Format(found.format, found.id, read=("quantum",))
    Path("models", STORE_KEY).write_bytes(document.encode(needs))
    return Path("models")
