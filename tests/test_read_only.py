"""A store that a process may only read works for everything that reads: each method, and each command."""

from __future__ import annotations

import inspect
import json
import os
import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

import saver
from cli.running import run
from saver import cli
from saver.cli import program
from saver.errors import SaverError
from saver.store import Store
from saver.training_log import TrainingLog
from users import NOBODY, as_user, place, skip_unless_root

RECORDS = 60
"""More than are read without a checkpoint of the log."""


@pytest.fixture(scope="module")
def shelf() -> Iterator[Path]:
    """A folder with the store `models`, in which nobody but root may write; the user nobody owns `mine`."""
    skip_unless_root()
    for module in pkgutil.walk_packages(saver.__path__, "saver."):  # nobody may not read this checkout
        near = module.name.startswith("saver.cli.") or module.name.count(".") == 1
        if near and module.name != "saver.__main__":
            import_module(module.name)
    with place() as folder:
        store = saver.Saver(folder / "models", author="ann")
        for number in range(RECORDS):
            store.note("iris", str(number)) if number > 3 else fill(store, number)
        store.export("iris@1", folder / "a.saver")
        np.save(folder / "rows.npy", np.arange(12.0).reshape(4, 3))
        (folder / "mine").mkdir()
        os.chown(folder / "mine", *NOBODY[:1], NOBODY.groups[0])
        yield folder


def fill(store: saver.Saver, number: int) -> None:
    log = TrainingLog()
    log.append(0, 0, 0.5, loss=1.0 - number / 10)
    weights = np.arange(600_000.0)
    weights[number] = -1
    store.save(
        "iris", {"w": weights, "log": log, "c": {"a": number}}, step=number,
        metrics={"f1": number / 10}, tags=["best"], labels={"team": "x"}, data=weights,
    )  # fmt: skip
    store.save("rose", {"w": np.arange(3.0) + number})
    if number == 0:
        rows = np.arange(12.0).reshape(4, 3)
        store.save("tulip", LinearRegression().fit(rows, rows.sum(axis=1)), example=rows)


READING: dict[str, Callable[[Store, Path], Any]] = {
    "load": lambda s, mine: s.load("iris@2")["c"],
    "load lazily": lambda s, mine: s.load("iris@2", lazy=True)["c"],
    "load writable": lambda s, mine: s.load("iris@2", writable=True)["c"],
    "restore": lambda s, mine: s.restore("iris@2", {"w": np.zeros(600_000)}, strict=False).parts["w"].matched,
    "exists": lambda s, mine: s.exists(),
    "models": lambda s, mine: s.models(),
    "summaries": lambda s, mine: str(s.summaries()),
    "summary": lambda s, mine: str(s.summary("iris")),
    "versions": lambda s, mine: str(s.versions("iris", where="f1 > 0.1", sort="f1")),
    "version": lambda s, mine: str(s.version("iris@best")),
    "describe": lambda s, mine: str(s.describe("iris@best")),
    "card": lambda s, mine: str(s.card("iris@best")),
    "schema": lambda s, mine: str(s.schema("tulip")),
    "predictor": lambda s, mine: str(s.predictor("tulip").check()),
    "check_predictions": lambda s, mine: s.check_predictions("tulip").same,
    "roles": lambda s, mine: str(s.roles()),
    "history": lambda s, mine: str(s.history("iris")),
    "log": lambda s, mine: len(list(s.log())),
    "diff": lambda s, mine: str(s.diff("iris@1", "iris@2")),
    "check": lambda s, mine: s.check().damage,
    "verify": lambda s, mine: s.verify("iris"),
    "backup": lambda s, mine: s.backup(mine / "backup").versions,
    "push": lambda s, mine: len(s.push("iris", mine / "pushed").versions),
    "export": lambda s, mine: str(s.export("iris@1", mine / "iris.npz").path)[-8:],
}  # fmt: skip


def test_every_method_that_reads_is_tried() -> None:
    methods = {name for name, _ in inspect.getmembers(Store, inspect.isfunction) if name[0] != "_"}
    assert {name.partition(" ")[0] for name in READING} == methods


@pytest.mark.parametrize("name", READING)
def test_a_method_that_reads_reads_a_store_that_is_only_to_be_read(
    name: str, shelf: Path, tmp_path: Path
) -> None:
    def act(mine: Path) -> Any:
        os.environ["SAVER_CACHE"] = "/proc/nothing"  # it has no home, either
        return READING[name](Store(shelf / "models"), mine)

    expected = READING[name](Store(shelf / "models"), tmp_path)
    before = state_of(shelf / "models")
    assert as_user(NOBODY, act, shelf / "mine") == expected
    assert state_of(shelf / "models") == before


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


COMMANDS: dict[str, str] = {
    "backup": "{store} {mine}/saved",
    "card": "iris@best --store {store}",
    "check": "--store {store}",
    "grant": "{store}",
    "verify": "iris@best --store {store}",
    "completion": "bash",
    "convert": "{shelf}/a.saver {mine}/b.npz",
    "diff": "iris@1 iris@2 --store {store}",
    "doctor": "{store}",
    "export": "iris@1 {mine}/iris.saver --store {store}",
    "log": "iris --store {store}",
    "ls": "iris --store {store}",
    "plot": "iris@1 --store {store}",
    "predict": "tulip {shelf}/rows.npy -o {mine}/answers.csv --store {store}",
    "push": "rose {mine}/other --store {store}",
    "show": "iris@best --verify --store {store}",
    "tag": "iris --store {store}",
    "label": "iris --store {store}",
    "note": "iris@1 --store {store}",
    "gc": "--dry-run --store {store}",
    "prune": "iris --keep-last 1 --dry-run --store {store}",
    "rm": "iris@1 --dry-run --tags --store {store}",
}
"""For each command that reads, or reads with these arguments."""

CHANGING = {
    "rm": "iris@1 --yes --tags --store {store}",
    "tag": "iris@1 first --store {store}",
    "label": "iris@1 a=b --store {store}",
    "note": "iris text --store {store}",
    "prune": "iris --keep-last 1 --yes --store {store}",
    "import": "{shelf}/a.saver lily --store {store}",
    "pull": "iris {store} --as lily --store {store}",
    "migrate": "{shelf} {store}",
    "gc": "--all --grace 0 --store {store}",
}
OF_ITS_OWN = {"demo", "rehearse", "init", "key", "sign", "serve", "ui", "rollout", "token"}
"""Commands that make a store of their own, or need a key, or a server."""


def test_every_command_is_tried() -> None:
    commands = cli.Commands().list_commands(click.Context(program))
    assert {*COMMANDS, *CHANGING} | OF_ITS_OWN == {*commands}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_reads_does_so_too(name: str, shelf: Path, tmp_path: Path) -> None:
    store = shelf / "models"

    def act(mine: Path) -> tuple[int, str]:
        done = run(name, *COMMANDS[name].format(store=store, mine=mine, shelf=shelf).split())
        return done.exit_code, done.stderr

    def act_anywhere(mine: Path) -> tuple[int, str]:
        os.environ["SAVER_CACHE"] = "/proc/nothing"
        os.chdir("/")
        return act(mine)

    code, said = act(tmp_path)
    assert code == (1 if name == "diff" else 0), said
    before = state_of(store)
    assert as_user(NOBODY, act_anywhere, shelf / "mine") == (code, said)
    assert state_of(store) == before


@pytest.mark.parametrize("name", CHANGING)
def test_a_command_that_changes_something_says_that_it_may_not(name: str, shelf: Path) -> None:
    def act() -> tuple[int, str]:
        os.environ["SAVER_CACHE"] = "/proc/nothing"
        os.chdir("/")
        done = run(name, *CHANGING[name].format(store=shelf / "models", shelf=shelf).split())
        return done.exit_code, done.stderr

    before = state_of(shelf / "models")
    code, said = as_user(NOBODY, act)
    assert code == 4
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert "Permission denied" in said
    assert "may not write" in said or "says who may" in said
    assert state_of(shelf / "models") == before


def test_doctor_says_of_such_a_store_what_one_may(shelf: Path) -> None:
    def act() -> Any:
        done = run("doctor", str(shelf / "models"), "--json")
        return done.exit_code, json.loads(done.stdout)

    code, found = as_user(NOBODY, act)
    assert code == 0
    you = found["access"]["you"]
    assert (you["read"], you["write"], you["collect"]) == (True, False, False)


def test_a_check_of_one_that_is_damaged_names_the_damage_and_records_nothing(shelf: Path) -> None:
    with place() as folder:
        store = saver.Saver(folder / "models")
        store.save("iris", {"w": np.arange(600_000.0)})
        (pack,) = (folder / "models" / "packs").iterdir()
        with pack.open("r+b") as file:
            file.seek(-8, os.SEEK_END)
            file.write(b"\x01" * 8)
        before = state_of(folder)
        found = as_user(
            NOBODY, lambda: (c := Store(folder / "models").check()) and (len(c.damage), c.recorded)
        )
        assert found == (1, False)
        assert state_of(folder) == before
        with pytest.raises(saver.DamagedError):
            as_user(NOBODY, lambda: Store(folder / "models").load("iris"))


def test_shortcuts_that_are_missing_do_not_stop_a_reader(shelf: Path) -> None:
    """It cannot write them again."""
    with place() as folder:
        store = saver.Saver(folder / "models")
        store.save("iris", {"w": np.arange(3000.0)})
        for number in range(RECORDS):
            store.note("iris", str(number))
        for path in sorted((folder / "models" / "state").rglob("*.json")):
            path.unlink()
        assert as_user(NOBODY, lambda: len(list(Store(folder / "models").log()))) == RECORDS + 1
        assert as_user(NOBODY, lambda: Store(folder / "models").load("iris")["w"][5]) == 5


def test_a_store_that_one_may_not_read_is_not_called_missing(shelf: Path) -> None:
    with place() as folder:
        saver.Saver(folder / "models").save("iris", {"w": np.arange(3000.0)})
        (folder / "models").chmod(0o700)

        def act() -> tuple[str, str]:
            with pytest.raises(SaverError) as raised:
                Store(folder / "models").load("iris")
            return type(raised.value).__name__, str(raised.value)

        assert as_user(NOBODY, act)[0] == "CannotReadError"
        assert "Permission denied" in as_user(NOBODY, act)[1]
