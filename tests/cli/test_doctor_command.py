"""`saver doctor`: what differs is said, by exit code too; machines and folders are probed without a trace."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from running import error_of, printable, run, text_in_a_terminal

import saver
from saver import configuration, environment
from saver.cli._machine import file_system, probe
from saver.disk.files import Files


def doctor(*arguments: str | Path) -> Result:
    return run("doctor", *arguments)


def saved_under(changes: dict[str, Any], save: Any) -> None:
    """Let `save` save in an environment that differs from this one."""
    real = environment.describe

    def other(*arguments: Any, **options: Any) -> dict[str, Any]:
        recorded = real(*arguments, **options) | {"git": None}
        packages = recorded["packages"] | changes.get("packages", {})
        return recorded | changes | {"packages": packages}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "describe", other)
        save()


@pytest.fixture
def old(tmp_path) -> Path:
    """A file with an estimator of an older scikit-learn, made under an older Python."""
    sklearn = pytest.importorskip("sklearn.preprocessing")
    path = tmp_path / "old.saver"
    scaler = sklearn.StandardScaler().fit(np.eye(3))
    changes = {"packages": {"sklearn": "1.2.0"}, "python": "3.10.1"}
    saved_under(changes, lambda: saver.dump({"scaler": scaler}, path))
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with nothing in it."""
    path = tmp_path / "empty"
    path.mkdir()
    return path


def test_a_file_made_here_has_nothing_in_its_way(tmp_path):
    saved_under({}, lambda: saver.dump({"w": np.zeros(3)}, tmp_path / "a.saver"))
    result = doctor(tmp_path / "a.saver")
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    assert ["ok", "numpy", np.__version__, np.__version__] in lines
    assert ["ok", "saver-ml", saver.__version__, saver.__version__] in lines


def test_what_differs_is_reported_with_what_it_may_mean_and_is_exit_code_1(old):
    result = doctor(old)
    assert result.exit_code == 1
    lines = [line.split() for line in result.output.splitlines()]
    assert [line[:3] for line in lines[2:4]] == [
        ["warning", "scikit-learn", "1.2.0"],
        ["note", "python", "3.10.1"],
    ]
    assert "pip install scikit-learn==1.2.0" in result.output
    assert re.search(r"^1 warning, \d+ notes?$", result.output, re.MULTILINE)


def test_notes_alone_are_exit_code_0(tmp_path):
    saved_under({"python": "3.10.1"}, lambda: saver.dump(1, tmp_path / "a.saver"))
    result = doctor(tmp_path / "a.saver")
    assert result.exit_code == 0
    assert "note  python" in result.output


def test_a_version_of_a_store_is_compared_by_its_ref(tmp_path):
    store = saver.Saver(tmp_path / "models")
    saved_under({"packages": {"numpy": "1.25.0"}}, lambda: store.save("iris", {"w": np.zeros(3)}, seeds=7))
    result = doctor("iris@1", "--store", tmp_path / "models")
    assert result.exit_code == 0
    assert re.search(r"note +numpy +1.25.0", result.output)
    assert "seed = 7" in result.output


def test_json_is_one_document(old):
    result = doctor(old, "--json")
    assert result.exit_code == 1
    document = json.loads(result.output)
    assert document["path"] == str(old)
    assert document["findings"][0]["severity"] == "warning"
    assert set(document["findings"][0]) == {"severity", "topic", "recorded", "here", "meaning"}


def test_classes_that_need_trust_are_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(saver.trust, "_registered", set())
    saver.register(Own)
    saver.dump(Own(), tmp_path / "own.saver")
    monkeypatch.setattr(saver.trust, "_registered", set())
    assert f'trust=["{Own.__module__}.Own"]' in doctor(tmp_path / "own.saver").output


class Own:
    """A class that a default policy does not know."""


@pytest.mark.parametrize("what", ["nowhere.saver", "iris@3"])
def test_what_is_not_there_is_exit_code_3(what, tmp_path):
    assert what in error_of(doctor(what, "--store", tmp_path / "models"), exit_code=3)


def test_a_damaged_file_is_exit_code_1(old):
    old.write_bytes(old.read_bytes()[:200])
    result = doctor(old)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")


def test_hostile_records_cannot_steer_a_terminal(tmp_path):
    evil = "\x1b]0;owned\x07\x1b[2J\u202e\r\n"
    changes = {
        "python": evil, "platform": evil, "cpu": evil, "vector": evil, "gpu": evil, "implementation": evil,
        "git": {"commit": evil, "dirty": evil}, "packages": {"numpy": evil, evil: evil},
        "random": {"seeds": {evil: evil}, "given": evil, "generators": [evil]},
    }  # fmt: skip
    saved_under(changes, lambda: saver.dump({"w": np.zeros(3)}, tmp_path / "a.saver"))
    for arguments in ([], ["--json"]):
        result = doctor(tmp_path / "a.saver", *arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert printable(result.output)
    assert "\\x1b]0;owned" in doctor(tmp_path / "a.saver").output


@pytest.mark.parametrize("what", ["machine", "file"])
def test_a_terminal_gets_tables_that_fit_it(what, old):
    if what == "machine":
        shown = text_in_a_terminal("doctor", width=60)
    else:
        shown = text_in_a_terminal("doctor", old, width=60, exit_code=1)
    assert max(map(len, shown.splitlines()[1:])) <= 60
    assert re.search(r"^  ok +python|^  note +python", shown, re.MULTILINE)


class TestMachine:
    def test_software_and_folder_are_reported(self, tmp_path):
        result = doctor("--store", tmp_path / "models")
        assert result.exit_code in (0, 1)  # by the room that is left
        for topic in ("python", "processors", "numpy", "store", "free space", "direct writes", "hard links"):
            assert re.search(rf"^  \w+ +{topic} ", result.output, re.MULTILINE), topic
        assert "does not exist yet; the first save creates it" in result.output

    def test_it_leaves_nothing_behind(self, folder):
        doctor("--store", folder / "some" / "models")
        assert list(folder.iterdir()) == []

    def test_a_store_tells_how_many_models_it_has(self, folder):
        saver.Saver(folder).save("iris", 1)
        names = sorted(path for path in folder.rglob("*"))
        document = json.loads(doctor("--store", folder, "--json").output)
        assert document["path"] is None
        (found,) = [finding for finding in document["findings"] if finding["topic"] == "store"]
        assert (found["severity"], found["meaning"]) == ("ok", "1 model")
        assert sorted(path for path in folder.rglob("*")) == names

    def test_a_store_that_cannot_be_opened_is_a_problem(self, tmp_path):
        (tmp_path / "models").write_text("a file")
        result = doctor("--store", tmp_path / "models")
        assert result.exit_code == 1
        assert re.search(r"^  problem +store ", result.output, re.MULTILINE)

    def test_the_configuration_is_that_of_every_load(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SAVER_CONFIG", str(tmp_path / "config.toml"))
        for text, severity, here in (
            ('trust = ["mine.*"]\n[classes]\n"a.B" = "c.D"\n', "ok", ""),
            ("trust = [", "problem", "is not valid TOML"),
        ):
            (tmp_path / "config.toml").write_text(text)
            configuration.read.cache_clear()
            document = json.loads(doctor("--store", tmp_path, "--json").output)
            (found,) = [each for each in document["findings"] if each["topic"] == "configuration"]
            assert found["severity"] == severity
            assert found["here"] == str(tmp_path / "config.toml")
            assert here in found["meaning"]
        assert doctor("--store", tmp_path).exit_code == 1
        configuration.read.cache_clear()

    def test_without_a_configuration_its_place_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SAVER_CONFIG", str(tmp_path / "config.toml"))
        document = json.loads(doctor("--store", tmp_path, "--json").output)
        (found,) = [each for each in document["findings"] if each["topic"] == "configuration"]
        assert (found["severity"], found["here"]) == ("ok", "none")
        assert str(tmp_path / "config.toml") in found["meaning"]

    def test_a_store_in_memory_has_no_folder(self):
        result = doctor("--store", "memory://doctored")
        assert result.exit_code == 0
        assert "hard links" not in result.output

    def test_a_folder_without_write_permission_is_a_warning(self, tmp_path, monkeypatch):
        class ReadOnly(Files):
            def create_unnamed(self, folder: str) -> int:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), folder)

            create = create_unnamed

        monkeypatch.setattr(probe, "__defaults__", (ReadOnly(),))
        result = doctor("--store", tmp_path)
        assert result.exit_code == 1
        assert re.search(r"^  warning +writable +no$", result.output, re.MULTILINE)
        assert "versions can be loaded, but nothing can be saved" in result.output

    def test_no_framework_is_imported(self, tmp_path):
        code = """
import sys
from saver.cli import program
program(["doctor"], standalone_mode=False)
print("imported:", *sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "sklearn", "pandas"}))
"""
        done = subprocess.run(
            (sys.executable, "-c", code), capture_output=True, text=True, check=True, cwd=tmp_path
        )
        assert done.stdout.splitlines()[-1] == "imported:"

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows the type of a file system")
    def test_the_file_system_is_that_of_the_folder(self):
        assert file_system("/proc/self") == "proc"
        assert file_system("/")


class Refusing(Files):
    """A file system that cannot do some things, as there are many."""

    def __init__(self, *operations: str) -> None:
        self.refused = operations
        self.open_files: set[int] = set()

    def _may(self, operation: str) -> None:
        if operation in self.refused:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def create_unnamed(self, folder: str) -> int:
        self._may("unnamed")
        file = super().create_unnamed(folder)
        self.open_files.add(file)
        return file

    def create(self, path: str) -> int:
        file = super().create(path)
        self.open_files.add(file)
        return file

    def open_direct(self, file: int) -> int:
        self._may("direct")
        direct = super().open_direct(file)
        self.open_files.add(direct)
        return direct

    def link(self, source: str | int, path: str) -> None:
        self._may("links")
        super().link(source, path)

    def sync(self, file: int) -> None:
        self._may("sync")
        super().sync(file)

    def close(self, file: int) -> None:
        self.open_files.discard(file)
        super().close(file)


@pytest.mark.parametrize("refused", ["", "unnamed", "links", "direct", "unnamed links direct"])
def test_a_probe_tells_what_a_file_system_refuses_and_leaves_nothing(folder, refused):
    able = probe(str(folder))
    files = Refusing(*refused.split())
    found = probe(str(folder), files)
    assert found.unnamed == (able.unnamed and "unnamed" not in refused)
    assert found.links == (able.links and "links" not in refused)
    assert found.direct == (able.direct and "direct" not in refused)
    assert found.milliseconds > 0
    assert list(folder.iterdir()) == []
    assert files.open_files == set()


def test_a_probe_that_fails_leaves_nothing_either(folder):
    for refused in (("sync",), ("sync", "unnamed")):
        files = Refusing(*refused)
        with pytest.raises(OSError, match="not supported"):
            probe(str(folder), files)
        assert list(folder.iterdir()) == []
        assert files.open_files == set()
