"""What made a version: versions, processor, git with real repositories, seeds and generators, author."""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saver
from saver import environment
from saver import git as asking
from saver.environment import author, given_seeds
from saver.errors import CannotSaveError
from saver.git import Git

BIG = st.one_of(st.integers(), st.integers(-(2**54), 2**54), st.integers(-(2**200), 2**200))

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    """Run git in `folder`, with nothing of the machine's own configuration."""
    settings = ("user.name=Ada", "user.email=ada@example.org", "init.defaultBranch=main")
    flags = [word for setting in settings for word in ("-c", setting)]
    outside = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    outside |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ("git", *flags, *arguments),
        cwd=folder, env=outside, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def repository(folder: Path) -> str:
    """A repository with one committed file, `train.py`; returns the commit."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init")
    (folder / "train.py").write_text("epochs = 3\n")
    git(folder, "add", "train.py")
    git(folder, "commit", "-m", "first")
    return git(folder, "rev-parse", "HEAD")


def state_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any] | None:
    monkeypatch.chdir(folder)
    return Git().state()


def in_a_fresh_process(code: str, folder: Path, **variables: str) -> str:
    """What `code` prints in a new interpreter in `folder`."""
    done = subprocess.run(
        (sys.executable, "-W", "error", "-c", code),
        cwd=folder, env=os.environ | variables, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


@needs_git
class TestGit:
    def test_a_clean_tree_has_its_commit(self, tmp_path, monkeypatch):
        commit = repository(tmp_path)
        assert state_in(tmp_path, monkeypatch) == {"commit": commit, "dirty": False}

    def test_a_folder_below_the_root_belongs_to_the_repository(self, tmp_path, monkeypatch):
        commit = repository(tmp_path)
        below = tmp_path / "src" / "deep"
        below.mkdir(parents=True)
        assert state_in(below, monkeypatch) == {"commit": commit, "dirty": False}

    def test_a_changed_tracked_file_makes_it_dirty(self, tmp_path, monkeypatch):
        commit = repository(tmp_path)
        (tmp_path / "train.py").write_text("epochs = 4\n")
        assert state_in(tmp_path, monkeypatch) == {"commit": commit, "dirty": True}

    def test_a_staged_file_makes_it_dirty(self, tmp_path, monkeypatch):
        repository(tmp_path)
        (tmp_path / "new.py").write_text("")
        git(tmp_path, "add", "new.py")
        assert state_in(tmp_path, monkeypatch)["dirty"] is True

    def test_an_untracked_file_does_not(self, tmp_path, monkeypatch):
        repository(tmp_path)
        (tmp_path / "model.saver").write_text("")
        assert state_in(tmp_path, monkeypatch)["dirty"] is False

    def test_a_new_commit_is_asked_anew(self, tmp_path, monkeypatch):
        first = repository(tmp_path)
        (tmp_path / "train.py").write_text("epochs = 4\n")
        assert state_in(tmp_path, monkeypatch) == {"commit": first, "dirty": True}
        git(tmp_path, "commit", "-am", "second")
        second = git(tmp_path, "rev-parse", "HEAD")
        assert state_in(tmp_path, monkeypatch) == {"commit": second, "dirty": False}

    def test_a_detached_head_is_a_commit(self, tmp_path, monkeypatch):
        commit = repository(tmp_path)
        git(tmp_path, "checkout", "--detach")
        assert state_in(tmp_path, monkeypatch) == {"commit": commit, "dirty": False}

    def test_packed_refs_are_read(self, tmp_path, monkeypatch):
        commit = repository(tmp_path)
        git(tmp_path, "pack-refs", "--all")
        assert not list((tmp_path / ".git" / "refs" / "heads").iterdir())
        assert state_in(tmp_path, monkeypatch) == {"commit": commit, "dirty": False}

    def test_packed_refs_are_read_without_asking_git(self, tmp_path):
        commit = repository(tmp_path)
        git(tmp_path, "branch", "main-2")
        git(tmp_path, "tag", "-a", "v1", "-m", "peeled tags have lines of their own")
        git(tmp_path, "pack-refs", "--all")
        assert asking._commit(str(tmp_path / ".git")) == commit

    def test_a_worktree_has_its_own_commit(self, tmp_path, monkeypatch):
        repository(tmp_path / "main")
        git(tmp_path / "main", "worktree", "add", "-b", "side", "../side")
        (tmp_path / "side" / "train.py").write_text("epochs = 9\n")
        git(tmp_path / "side", "commit", "-am", "on the side")
        commit = git(tmp_path / "side", "rev-parse", "HEAD")
        assert asking._commit(asking._git_folder(str(tmp_path / "side"))) == commit
        assert state_in(tmp_path / "side", monkeypatch) == {"commit": commit, "dirty": False}

    def test_a_submodule_has_its_own_commit(self, tmp_path, monkeypatch):
        commit = repository(tmp_path / "library")
        repository(tmp_path / "main")
        allow = ("-c", "protocol.file.allow=always")
        git(tmp_path / "main", *allow, "submodule", "add", str(tmp_path / "library"), "library")
        assert (tmp_path / "main" / "library" / ".git").is_file()
        found = state_in(tmp_path / "main" / "library", monkeypatch)
        assert found == {"commit": commit, "dirty": False}

    def test_before_the_first_commit_there_is_no_state(self, tmp_path, monkeypatch):
        git(tmp_path, "init")
        assert state_in(tmp_path, monkeypatch) is None

    def test_refs_in_a_form_that_only_git_reads_are_asked_of_git(self, tmp_path, monkeypatch):
        commit = repository(tmp_path)
        monkeypatch.setattr(asking, "_commit", lambda root: None)
        assert state_in(tmp_path, monkeypatch) == {"commit": commit, "dirty": False}

    def test_a_hook_s_variables_do_not_lead_to_another_repository(self, tmp_path, monkeypatch):
        repository(tmp_path / "other")
        (tmp_path / "other" / "train.py").write_text("changed\n")
        commit = repository(tmp_path / "here")
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
        monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
        assert state_in(tmp_path / "here", monkeypatch) == {"commit": commit, "dirty": False}

    def test_without_git_the_commit_is_known_and_the_rest_is_not(self, tmp_path, monkeypatch):
        commit = repository(tmp_path)
        monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
        assert state_in(tmp_path, monkeypatch) == {"commit": commit, "dirty": None}

    def test_a_git_that_does_not_answer_is_not_waited_for(self, tmp_path, monkeypatch):
        commit = repository(tmp_path)
        slow = tmp_path / "bin" / "git"
        slow.parent.mkdir()
        slow.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
        slow.chmod(0o755)
        monkeypatch.setenv("PATH", str(slow.parent))
        monkeypatch.setattr(asking, "GIT_SECONDS", 0.2)
        assert state_in(tmp_path, monkeypatch) == {"commit": commit, "dirty": None}

    def test_a_save_records_it(self, tmp_path, monkeypatch):
        commit = repository(tmp_path)
        monkeypatch.chdir(tmp_path)
        saver.dump([1.5], "model.saver")
        recorded = saver.describe("model.saver").environment["git"]
        assert recorded == {"commit": commit, "dirty": False}

    def test_a_save_that_fails_leaves_no_git_behind(self, tmp_path):
        repository(tmp_path)
        code = """
import gc, saver
try:
    saver.dump(lambda: 0, "model.saver")
except saver.CannotSaveError:
    gc.collect()
    print("refused")
"""
        assert in_a_fresh_process(code, tmp_path) == "refused"


def test_without_a_repository_there_is_no_git(tmp_path, monkeypatch):
    assert asking._git_folder(str(tmp_path)) is None, "the temporary folder lies in a repository"
    assert state_in(tmp_path, monkeypatch) is None


@pytest.mark.parametrize("head", ["", "\x1b[31mnot a commit", "ref: ../../secret", "a" * 39, "a" * 41])
def test_what_stands_in_head_is_a_commit_or_nothing(tmp_path, head):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text(head)
    (tmp_path / "secret").write_text("password")
    assert asking._commit(str(tmp_path / ".git")) is None


def test_a_deleted_working_folder_does_not_stop_a_save(tmp_path):
    code = """
import os, saver
os.mkdir("gone"); os.chdir("gone"); os.rmdir("../gone")
target = os.environ["TARGET"]
saver.dump({"a": 1}, target)
print(saver.load(target), saver.describe(target).environment["git"])
"""
    target = str(tmp_path / "model.saver")
    assert in_a_fresh_process(code, tmp_path, TARGET=target, PYTHONSAFEPATH="1") == "{'a': 1} None"


def test_python_and_platform_are_recorded(tmp_path):
    saver.dump(1, tmp_path / "model.saver")
    found = saver.describe(tmp_path / "model.saver").environment
    assert found["python"] == platform.python_version()
    assert found["implementation"] == platform.python_implementation()
    assert found["platform"] == platform.platform()
    assert found["machine"] == platform.machine()


def test_the_processor_is_recorded(tmp_path):
    saver.dump(1, tmp_path / "model.saver")
    found = saver.describe(tmp_path / "model.saver").environment
    assert found["byteorder"] == sys.byteorder
    assert 1 <= found["cpus"] <= (os.cpu_count() or 1)
    if platform.machine() == "x86_64" and sys.platform == "linux":
        assert found["cpu"]
        assert set(found["vector"].split()) <= environment._VECTOR
        assert found["vector"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot bind processes")
def test_processors_that_may_not_be_used_do_not_count(tmp_path):
    code = """
import os
from saver.environment import hardware
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
print(hardware()["cpus"])
"""
    assert in_a_fresh_process(code, tmp_path) == "1"


def test_looking_at_the_hardware_starts_no_gpu_and_imports_nothing(tmp_path):
    code = """
import sys
from saver import environment, registry
from saver import git as asking
registry.families()  # declarations, which import no library
before = set(sys.modules)
found = environment.hardware()
print(sorted(set(sys.modules) - before), "gpu" in found)
"""
    assert in_a_fresh_process(code, tmp_path) == "[] False"


def test_a_gpu_is_recorded_once_it_is_in_use():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        assert "gpu" not in environment.hardware()
        return
    torch.zeros(1, device="cuda")
    found = environment.hardware()
    assert found["gpu"] == torch.cuda.get_device_name()
    assert found["gpus"] == torch.cuda.device_count()
    assert found["cuda"] == torch.version.cuda


def test_the_packages_of_what_is_held_are_recorded_and_no_others(tmp_path):
    pandas = pytest.importorskip("pandas")
    saver.dump({"a": np.ones(3)}, tmp_path / "a.saver")
    found = saver.describe(tmp_path / "a.saver").environment["packages"]
    assert found == {"numpy": np.__version__, "saver": saver.__version__}
    assert pandas.__version__ not in found.values()


def test_an_unknown_package_has_no_version():
    assert environment.package_version("no_such_package_anywhere") is None
    assert environment.package_version("") is None


def test_a_package_that_is_not_imported_is_not_imported_to_learn_its_version(tmp_path):
    pytest.importorskip("pandas")
    code = """
import sys
from saver.environment import package_version
print(package_version("pandas"), "pandas" in sys.modules)
"""
    version, imported = in_a_fresh_process(code, tmp_path).split()
    assert version[0].isdigit()
    assert imported == "False"


def test_versions_are_plain_strings():
    torch = pytest.importorskip("torch")
    found = environment.package_version("torch")
    assert type(found) is str
    assert found == str(torch.__version__)


@pytest.fixture
def generators_restored():
    """Python's and NumPy's global generators, put back as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    yield
    random.setstate(python)
    np.random.set_bit_generator(np.random.MT19937())
    np.random.set_state(numpy)


@pytest.mark.usefixtures("generators_restored")
class TestGenerators:
    def test_equal_seeds_have_equal_fingerprints(self):
        random.seed(7)
        np.random.seed(7)
        first = environment.generators()
        random.seed(7)
        np.random.seed(7)
        assert environment.generators() == first

    @pytest.mark.parametrize(
        ("name", "draw"), [("python", random.random), ("numpy", np.random.random_sample)]
    )
    def test_one_number_drawn_changes_its_own_fingerprint_alone(self, name, draw):
        before = environment.generators()
        draw()
        after = environment.generators()
        assert {key for key in after if after[key] != before[key]} == {name}

    @pytest.mark.parametrize("kind", ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"])
    def test_any_bit_generator_may_be_the_global_one(self, kind):
        np.random.set_bit_generator(getattr(np.random, kind)(5))
        before = environment.generators()["numpy"]
        assert environment.generators()["numpy"] == before
        np.random.random_sample()
        assert environment.generators()["numpy"] != before

    def test_the_seed_of_torch_is_reported(self):
        torch = pytest.importorskip("torch")
        with torch.random.fork_rng():
            torch.manual_seed(1234)
            assert environment.generators()["torch"] == "seed 1234"


def test_a_generator_that_nobody_imported_is_not_in_use(tmp_path):
    code = """
import sys, saver
from saver import environment
from saver import git as asking
print(*environment.generators(), "numpy.random" in sys.modules)
"""
    found = in_a_fresh_process(code, tmp_path, PYTHONHASHSEED="3").split()
    if np.lib.NumpyVersion(np.__version__) < "2.0.0":  # which imports it itself
        assert found == ["python", "numpy", "hash", "True"]
    else:
        assert found == ["python", "hash", "False"]


def test_looking_at_the_generators_does_not_move_them():
    python, numpy = random.getstate(), np.random.get_state()[1].tolist()
    environment.generators()
    assert random.getstate() == python
    assert np.random.get_state()[1].tolist() == numpy


class TestGivenSeeds:
    def test_they_stand_beside_those_that_were_found(self):
        recorded = environment.describe((), {"$.seed": 3}, Git(), given_seeds({"python": 1, "numpy": 2}))
        assert recorded["random"]["given"] == {"python": 1, "numpy": 2}
        assert recorded["random"]["seeds"] == {"$.seed": 3}

    def test_without_any_there_is_no_entry(self):
        assert "given" not in environment.describe((), {}, Git())["random"]

    def test_a_single_one_has_a_name_too(self):
        assert given_seeds(42) == {"seed": 42}
        assert given_seeds(np.uint8(42)) == {"seed": 42}

    @pytest.mark.slow
    @given(st.dictionaries(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=100), BIG))
    def test_every_integer_survives_json(self, seeds):
        recorded = json.loads(json.dumps(given_seeds(seeds)), parse_int=float)
        assert {name: int(value) for name, value in recorded.items()} == seeds
        assert all((type(value) is str) == (abs(seeds[name]) > 2**53) for name, value in recorded.items())

    @pytest.mark.parametrize("value", [1.0, "1", None, True, np.True_, [1], np.arange(2)], ids=repr)
    def test_what_is_not_an_integer_is_refused(self, value):
        with pytest.raises(CannotSaveError, match=r"^seeds\['numpy'\]: \w+ is not an integer; pass the seed"):
            given_seeds({"numpy": value})

    @pytest.mark.parametrize("name", [1, "", "a\nb", "\x1b[31m", "x" * 101])
    def test_names_are_short_printable_strings(self, name):
        with pytest.raises(
            CannotSaveError, match=r"^seeds: .* is not a name of 1 to 100 printable characters$"
        ):
            given_seeds({name: 1})

    def test_a_seed_beyond_any_generator_is_refused(self):
        with pytest.raises(CannotSaveError, match=r"^seeds: it has more than 4096 bits"):
            given_seeds(2**4096)
        assert given_seeds(2**4096 - 1) == {"seed": str(2**4096 - 1)}


class TestAuthor:
    def test_it_is_who_the_user_says(self, monkeypatch):
        monkeypatch.setenv("SAVER_AUTHOR", " Ada Lovelace ")
        assert author() == "Ada Lovelace"

    def test_an_empty_one_is_a_wish_not_to_be_named(self, monkeypatch):
        monkeypatch.setenv("SAVER_AUTHOR", "")
        monkeypatch.setenv("LOGNAME", "ada")
        assert author() == ""

    def test_otherwise_it_is_the_name_that_the_system_has(self, monkeypatch):
        monkeypatch.delenv("SAVER_AUTHOR", raising=False)
        monkeypatch.setenv("LOGNAME", "ada")
        assert author() == "ada"

    def test_a_user_without_a_name_has_none(self, monkeypatch):
        for name in ("SAVER_AUTHOR", "LOGNAME", "USER", "LNAME", "USERNAME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(os, "getuid", lambda: 3_999_999_999)
        assert author() == ""

    @pytest.mark.parametrize("name", [b"\xff\xfeAda", b"A\x1b[31md\na", "Zoë 日".encode(), b"x" * 999])
    def test_any_name_can_be_recorded(self, name, monkeypatch):
        monkeypatch.setenv("SAVER_AUTHOR", os.fsdecode(name))
        found = author()
        assert found.isprintable()
        assert 0 < len(found) <= environment.AUTHOR_LIMIT
        assert json.loads(msgspec.json.encode(found)) == found


def test_the_seeds_that_fitting_drew_are_not_recorded(tmp_path):
    ensemble = pytest.importorskip("sklearn.ensemble")
    forest = ensemble.RandomForestClassifier(5, random_state=1).fit([[0], [1]], [0, 1])
    saver.dump({"model": forest}, tmp_path / "a.saver")
    seeds = saver.describe(tmp_path / "a.saver").environment["random"]["seeds"]
    assert seeds == {"$.model.random_state": 1}
