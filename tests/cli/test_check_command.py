"""`saver check`: names what is damaged by version, part and tensor, and tells it from garbage."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
from msgspec import structs
from running import (
    error_of,
    printable,
    run,
    run_json,
    run_where_nothing_can_be_written,
    text_in_a_terminal,
)

import saver
from equality import assert_same
from saver.repo.log import ZERO, Log, log_key, record_after
from saver.repo.manifest import manifest_key
from saver.repo.objects import pack_key
from saver.repo.repository import Repository


def flip(key: str, at: int = -1) -> None:
    path = Path("models", key)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def damage_the_model_of_two_versions(store: saver.Saver) -> str:
    """One byte of the weights that `iris@2` and `iris@3` share."""
    shared = set(store.version("iris@3").packs) - set(store.version("iris@1").packs)
    key = pack_key(shared.pop())
    flip(key)
    return key


def test_a_sound_store_is_said_to_be(store: saver.Saver) -> None:
    done = run("check")
    assert done.exit_code == 0
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert lines[:2] == [["models"], ["versions", "4"]]
    assert ["damage", "none: everything is as it was saved"] in lines
    assert ["garbage", "none"] in lines


def test_garbage_is_counted_and_no_damage(store: saver.Saver) -> None:
    store.delete("iris@3")
    done = run("check")
    assert done.exit_code == 0
    assert "1 object, " in done.stdout
    assert "that `saver gc` frees" in done.stdout


def test_damage_is_named_by_version_part_and_tensor(store: saver.Saver) -> None:
    key = damage_the_model_of_two_versions(store)
    done = run("check")
    assert done.exit_code == 1
    assert done.stderr == "error: models is damaged: 1 tensor of 2 versions\n"
    lines = [line.split(maxsplit=3) for line in done.stdout.splitlines()]
    for ref in ("iris@2", "iris@3"):
        assert [ref, "model", "model/weights", "the bytes are not those that were saved"] in lines
    assert [key] in lines
    assert not any(line[:1] == ["iris@1"] for line in lines)


def test_what_it_says_heals_does(store: saver.Saver) -> None:
    whole = copy.deepcopy(store.load("iris@2"))  # what was loaded is a view of the file
    damage_the_model_of_two_versions(store)
    assert "save the same tensors again" in run("check").stdout
    store.save("iris", whole)
    assert "iris@" not in run("check").stdout
    assert_same(store.load("iris@2"), whole)


def test_a_lost_manifest_costs_the_version_and_is_reported_in_one_row(store: saver.Saver) -> None:
    key = manifest_key(store.version("iris@1").manifest)
    os.remove(Path("models", key))
    done = run("check")
    assert done.exit_code == 1
    assert "1 manifest of 1 version" in done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("  iris@1")]
    assert len(rows) == 1
    assert "model, scaler" in rows[0]
    assert f"its manifest {key} is missing" in rows[0]
    assert "garbage   none" in done.stdout, "what only that version needs is kept for it"


def test_damage_that_costs_nothing_is_distinguished(store: saver.Saver) -> None:
    Path("models/packs/0123456789abcdef0123456789abcdef.safetensors").write_bytes(b"torn")
    done = run("check")
    assert done.exit_code == 1
    assert "1 object that no version needs" in done.stderr
    assert "Damage that affects no version" in done.stdout
    assert "What to do" not in done.stdout


def test_json_has_all(store: saver.Saver) -> None:
    document = run_json("check")
    assert (document["sound"], document["versions"], document["damage"]) == (True, 4, [])
    key = damage_the_model_of_two_versions(store)
    done = run("check", "--json")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: models is damaged")
    document = saver.repo.document.strict_json(done.stdout.encode(), "")
    assert document["sound"] is False
    assert document["recorded"] is True
    assert [(each["model"], each["number"], each["part"]) for each in document["damage"]] == [
        ("iris", 2, "model"), ("iris", 3, "model"),
    ]  # fmt: skip
    assert {each["key"] for each in document["damage"]} == {key}
    assert {each["tensor"] for each in document["damage"]} == {"model/weights"}


def test_a_damaged_log_is_damage_in_words_and_json(store: saver.Saver) -> None:
    flip(log_key(2))
    assert log_key(2) in error_of(run("check"), exit_code=1)
    done = run("check", "--json")
    assert done.exit_code == 1
    document = saver.repo.document.strict_json(done.stdout.encode(), "")
    assert document["sound"] is False
    assert log_key(2) in document["damage"][0]["what"]


@pytest.mark.slow
def test_a_terminal_gets_the_first_rows_and_a_pipe_all(store: saver.Saver) -> None:
    for step in range(60):
        store.save("long", {"model": store.load("iris@1")["model"]}, step=step)
    key = pack_key(*store.version("iris@1").packs)
    Path("models", key).unlink()
    shown = text_in_a_terminal("check", exit_code=1)
    assert shown.count("the pack is missing") == 50
    assert "more: --json lists them all" in shown
    assert run("check").stdout.count("the pack is missing") == 63


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 80, 140])
def test_tables_of_damage_fit_the_terminal(store: saver.Saver, width: int) -> None:
    damage_the_model_of_two_versions(store)
    os.remove(Path("models", manifest_key(store.version("iris@1").manifest)))
    shown = text_in_a_terminal("check", width=width, exit_code=1)
    damage = shown[shown.index("\nDamage\n") : shown.index("\nWhat to do\n")]
    assert max(map(len, damage.splitlines())) <= width


def test_a_store_that_cannot_be_written_to_is_checked(store: saver.Saver) -> None:
    damage_the_model_of_two_versions(store)
    done = run_where_nothing_can_be_written("check")
    assert done.returncode == 1
    assert "run `saver check` with write access to the store" in done.stdout
    assert "1 tensor of 2 versions" in done.stderr


def test_hostile_texts_cannot_steer_a_terminal(hostile: Repository) -> None:
    hostile.open()
    os.remove(Path("models", manifest_key(hostile.version("evil").manifest)))
    for arguments in (["check"], ["check", "--json"]):
        done = run(*arguments)
        assert done.exit_code == 1
        assert printable(done.output)
    assert printable(text_in_a_terminal("check", exit_code=1))


def test_a_newer_store_is_refused(newer: Path) -> None:
    assert "quantum" in error_of(run("check"))


def test_what_is_not_savers_is_reported_and_not_damage(store: saver.Saver) -> None:
    for name in ("packs/model.safetensors", "log/desktop.ini"):
        Path("models", name).write_bytes(b"mine")
    done = run("check")
    assert done.exit_code == 0
    assert "2 files, which nothing here reads or deletes" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["    log/desktop.ini", "    packs/model.safetensors"]
    assert run_json("check")["foreign"] == ["log/desktop.ini", "packs/model.safetensors"]
    assert run("gc", "--grace", "0").exit_code == 0
    assert Path("models/packs/model.safetensors").read_bytes() == b"mine"


@pytest.mark.of_files
def test_a_version_whose_only_file_is_damaged_is_lost_in_one_row(store: saver.Saver) -> None:
    path = Path("models", pack_key(store.version("iris@1").file))
    path.chmod(0o644)
    raw = bytearray(path.read_bytes())
    raw[300] ^= 1
    path.write_bytes(raw)
    done = run("check")
    assert done.exit_code == 1
    assert "1 manifest" in done.stdout
    assert done.stdout.count(path.name[:8]) >= 1
    assert "affects no version" not in done.stdout


@pytest.mark.parametrize("level", ["packs", "manifests", "state"])
def test_a_link_in_place_of_a_folder_is_named_and_not_followed(store: saver.Saver, level: str) -> None:
    Path("models", level).mkdir(exist_ok=True)
    Path("models", level).rename("elsewhere")
    Path("models", level).symlink_to(Path("elsewhere").absolute())
    done = run("check")
    assert done.exit_code == 1
    assert "Folders that could not be read" in done.stdout
    assert f"{level}: models/{level} is a symbolic link" in done.stdout
    assert ("iris@1" in done.stdout) == (level != "state")
    assert f"models/{level} is a symbolic link" in run("gc", "--grace", "0").stderr
    Path("models", level).unlink()
    Path("elsewhere").rename(Path("models", level))
    assert run("check").exit_code == 0
    assert store.save("iris", store.load("iris@3")).bytes_added < 5000, "nothing was said to be damaged"


def test_a_manifest_of_another_version_is_damage_in_one_row(store: saver.Saver) -> None:
    """The log is made anew, by somebody who can compute hashes."""
    repo = Repository(store.storage)
    repo.open()
    event = repo.state.log.read(1)[0].event
    for number in range(1, repo.state.head + 1):
        Path("models", log_key(number)).rename(Path("models", f"old{number}"))
    log = Log(store.storage)
    record = record_after((0, ZERO), structs.replace(event, metrics={"loss": 0.0}), "a" * 32, 1.0, "ada")
    assert log.append(record)
    done = run("check")
    assert done.exit_code == 1
    assert "1 manifest of 1 version" in done.stderr
    assert "contradict each other about its metric 'loss': 0.0 and 0.5" in done.stdout
