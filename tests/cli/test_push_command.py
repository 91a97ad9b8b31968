"""`saver push` and `saver pull`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from running import run

import saver
from registries import fake


def test_versions_are_pushed_and_pulled(store: saver.Saver) -> None:
    for number in range(3):
        store.save("lily", {"x": np.arange(2000.0) * number}, tags=[f"t{number}"])
    done = run("push", "lily@t1", "there")
    assert done.exit_code == 0
    assert "from models to there" in done.stdout
    assert "2 versions" in done.stdout
    assert (saver.Saver("there").load("lily@t1")["x"] == np.arange(2000.0)).all()
    pushed = json.loads(run("push", "lily", "there", "--json").stdout)
    assert [each["ref"] for each in pushed["versions"]] == ["lily@3"]
    assert (pushed["present"], pushed["target"], pushed["left_out"]) == (2, "there", [])
    pulled = run("pull", "lily@t2", "there", "--as", "rose", "--no-history", "--no-tags")
    assert pulled.exit_code == 0
    found = store.versions("rose")
    assert [(each.number, each.tags) for each in found] == [(3, ())]


def test_what_goes_wrong_has_a_code_and_a_sentence(store: saver.Saver) -> None:
    store.save("iris", {"x": 1})
    saver.Saver("there").save("iris", {"x": 2})
    done = run("push", "iris", "there")
    assert done.exit_code == 4
    assert "iris@1 is not iris@1 of models" in done.stderr
    assert "--as NAME" in done.stderr
    assert run("push", "rose", "there").exit_code == 3
    nowhere = run("pull", "iris", "nowhere")
    assert nowhere.exit_code == 3
    assert "nowhere: there is no store here; name the one that has the versions" in nowhere.stderr
    assert run("push", "iris", "").exit_code == 2
    assert run("pull", "iris", "").exit_code == 2
    assert run("push", "iris", "ftp://there").exit_code == 4


@pytest.mark.parametrize("verb", ["push", "pull"])
@pytest.mark.parametrize(
    "address",
    ["oci://host/UPPER", "hf://name-alone", "oci://u:hush@host/m", "s3://", "hf://a/b@", "oci://"],
)
def test_a_wrong_address_is_misuse(verb: str, address: str, store: saver.Saver) -> None:
    done = run(verb, "iris", address)
    assert done.exit_code == 2
    assert "Error: Invalid value" in done.stderr
    assert "hush" not in done.stderr


def test_commands_push_to_a_registry_and_pull_from_it(
    store: saver.Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("oras", reason="needs oras")
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with fake() as registry:
        place = f"oci://{registry.host}/team/iris:v1"
        done = run("push", "iris@2", place)
        assert (done.exit_code, done.stderr) == (0, "")
        assert f"from models to {place}" in done.stdout
        pulled = json.loads(run("pull", "iris@2", place, "--store", "there", "--json").stdout)
        assert [each["ref"] for each in pulled["versions"]] == ["iris@1", "iris@2"]
        assert (pulled["store"], pulled["target"]) == (place, "there")
        assert run("pull", "rose", place, "--store", "there").exit_code == 3
        assert run("pull", "iris", f"{place}x", "--store", "there").exit_code == 3
        registry.blobs = dict.fromkeys(registry.blobs, b"x")
        done = run("pull", "iris@2", place, "--store", "other")
        assert done.exit_code == 1
        assert "is not what was pushed" in done.stderr
        assert not Path("other").exists()
