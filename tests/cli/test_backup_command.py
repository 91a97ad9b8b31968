"""`saver backup`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from running import run

import saver


def test_a_store_is_copied_and_the_copy_is_a_store(store: saver.Saver) -> None:
    store.save("iris", {"x": np.arange(2000.0)}, tags=["best"])
    done = run("backup", "models", "copy")
    assert done.exit_code == 0
    assert "copied to copy" in done.stdout
    assert (saver.Saver("copy").load("iris@best")["x"] == np.arange(2000.0)).all()
    assert run("check", "--store", "copy").exit_code == 0
    again = json.loads(run("backup", "models", "copy", "--json").stdout)
    assert (again["objects"], again["records"], again["whole"]) == (0, 0, True)


def test_damage_is_named_and_ends_with_code_1(store: saver.Saver) -> None:
    store.save("iris", {"x": np.arange(2000.0)})
    store.save("rose", {"x": np.arange(3000.0) + 1})
    (pack,) = [
        path
        for path in Path("models", "packs").iterdir()
        if path.stem in saver.Saver("models").version("rose").packs
    ]
    data = bytearray(pack.read_bytes())
    data[-5] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(data)
    done = run("backup", "models", "copy")
    assert done.exit_code == 1
    assert "rose@1" in done.stdout + done.stderr
    assert (saver.Saver("copy").load("iris")["x"] == np.arange(2000.0)).all()


def test_what_is_not_a_copy_is_refused(store: saver.Saver) -> None:
    store.save("iris", {"x": np.arange(2000.0)})
    Path("photos").mkdir()
    Path("photos", "beach.jpg").write_bytes(b"sand")
    done = run("backup", "models", "photos")
    assert done.exit_code not in (0, 1)
    assert "is not a copy of" in done.stderr
    assert run("backup", "nowhere", "copy").exit_code not in (0, 1)
    assert not Path("copy").exists()
