"""What differs between machines: every topic by its meaning, and nothing that a file says is believed."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saver import environment, registry
from saver.doctor import Finding, diagnose, environment_here

HERE: dict[str, Any] = {
    "python": "3.12.3",
    "implementation": "CPython",
    "platform": "Linux-6.1.0-x86_64-with-glibc2.36",
    "machine": "x86_64",
    "byteorder": "little",
    "cpus": 8,
    "cpu": "EPYC 9354",
    "vector": "avx avx2 fma",
    "packages": {"numpy": "2.1.0", "saver": "1.4.0", "sklearn": "1.6.1", "torch": "2.5.1", "oddity": "3.1"},
    "git": {"commit": "a" * 40, "dirty": False},
    "random": {
        "seeds": {"$.model.random_state": 3},
        "given": {"python": 1},
        "generators": {"python": "state 0123456789abcdef", "torch": "seed 9", "hash": "seed 0"},
    },
}


class Needs(NamedTuple):
    packages: tuple[str, ...]
    classes: tuple[str, ...] = ()


PARTS = {"scaler": Needs(("sklearn", "numpy")), "model": Needs(("sklearn", "torch", "oddity"))}


def differing(change: Mapping[str, Any], here: Mapping[str, Any] = HERE) -> list[Finding]:
    """What is found, beyond `ok`, when this much of the record is otherwise. A None takes it out."""
    recorded = copy.deepcopy(HERE)
    for path, value in change.items():
        *above, last = path.split(".", 1) if path.startswith(("packages", "git", "random")) else [path]
        target = recorded[above[0]] if above else recorded
        if value is None:
            target.pop(last)
        else:
            target[last] = value
    found = diagnose(recorded, PARTS, here)
    return [finding for finding in found if finding.severity != "ok"]


def sole(change: Mapping[str, Any], here: Mapping[str, Any] = HERE) -> Finding:
    found = differing(change, here)
    assert len(found) == 1, found
    return found[0]


def test_nothing_differs_from_itself():
    found = diagnose(HERE, PARTS, HERE)
    assert {finding.severity for finding in found} == {"ok"}
    assert {finding.meaning for finding in found} == {""}
    assert [finding.topic for finding in found] == [
        "python", "numpy", "oddity", "scikit-learn", "torch", "saver-ml", "machine", "processors", "git",
        "seeds",
    ]  # fmt: skip


def test_this_process_differs_in_nothing_from_what_it_records():
    recorded = environment.describe(["numpy"], {"$.seed": 1}, environment.Git())
    found = diagnose(recorded, {"model": Needs(("numpy",))})
    assert {finding.severity for finding in found if finding.topic != "git"} == {"ok"}


@pytest.mark.parametrize(
    ("package", "version", "severity"),
    [
        ("sklearn", "1.6.0", "note"), ("sklearn", "1.5.2", "warning"), ("sklearn", "0.24.2", "warning"),
        ("sklearn", "1.7.0", "warning"), ("torch", "2.5.0", "ok"), ("torch", "2.4.1", "note"),
        ("torch", "1.13.1", "warning"), ("torch", "2.5.1+cu124", "ok"), ("numpy", "2.1.3", "ok"),
        ("numpy", "2.0.0", "note"), ("numpy", "1.26.4", "note"), ("oddity", "3.0", "note"),
        ("oddity", "2.9", "warning"), ("oddity", "what?", "note"), ("oddity", "3.1.post1", "ok"),
    ],
)  # fmt: skip
def test_another_version_matters_by_package_and_number(package, version, severity):
    found = differing({f"packages.{package}": version})
    assert [finding.severity for finding in found] == ([severity] if severity != "ok" else [])
    assert all(finding.recorded == version and finding.meaning for finding in found)


def test_estimators_of_another_version_come_with_the_line_that_brings_the_same_back():
    found = sole({"packages.sklearn": "1.5.2"})
    assert (found.topic, found.recorded, found.here) == ("scikit-learn", "1.5.2", "1.6.1")
    assert "private state" in found.meaning
    assert found.meaning.endswith("or pip install scikit-learn==1.5.2")


def test_a_missing_package_is_a_problem_with_the_line_to_type():
    here = HERE | {"packages": {name: v for name, v in HERE["packages"].items() if name != "sklearn"}}
    found = sole({}, here)
    assert (found.severity, found.topic, found.here) == ("problem", "scikit-learn", "missing")
    assert found.meaning == "scaler, model cannot load: pip install scikit-learn==1.6.1"


def test_a_missing_package_that_saver_does_not_know_is_recommended_to_nobody():
    """Anyone can register a name at a package index and write it into a file."""
    here = HERE | {"packages": {name: v for name, v in HERE["packages"].items() if name != "oddity"}}
    found = sole({}, here)
    assert found.severity == "problem"
    assert "pip" not in found.meaning
    assert "install it only if you know its author" in found.meaning


@pytest.mark.parametrize(
    "version", ["1.0; rm -rf /", "1.0 --index-url=http://evil", "==1\n", "", "2.13.0+cpu", "9" * 50]
)
def test_no_text_of_the_file_gets_into_a_line_to_type_but_a_version(version):
    here = HERE | {"packages": {name: v for name, v in HERE["packages"].items() if name != "torch"}}
    assert sole({"packages.torch": version}, here).meaning == "model cannot load: pip install torch"
    assert "pip" not in sole({"packages.sklearn": version or "x"}).meaning


def test_a_package_that_no_part_needs_is_not_missed():
    assert differing({"packages.xgboost": "2.1.0"}) == []


def test_a_module_without_a_version_is_not_a_missing_package():
    parts = {"model": Needs(("mycode", "collections"))}
    here = HERE | {"modules": ["mycode"]}
    assert [f.severity for f in diagnose(HERE, parts, here) if f.topic == "mycode"] == ["ok"]
    assert not [f for f in diagnose(HERE, parts, here) if f.topic == "collections"]
    assert [f.severity for f in diagnose(HERE, parts, HERE) if f.topic == "mycode"] == ["problem"]


def test_modules_are_looked_for_without_importing_them(tmp_path, monkeypatch):
    (tmp_path / "doctored_code.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    names = ["doctored_code", "no_such_module_anywhere", "../etc/passwd", "__main__", "a.b", ""]
    assert environment_here(names)["modules"] == ["doctored_code"]


def test_classes_of_a_script_are_reported():
    parts = {"model": Needs(("__main__",))}
    (found,) = [f for f in diagnose(HERE, parts, HERE) if f.topic == "__main__"]
    assert found.severity == "note"
    assert "model" in found.meaning


@pytest.mark.parametrize(
    ("version", "severity"), [("3.12.9", None), ("3.11.2", "note"), ("3.13.0", "note"), ("2.7.18", "warning")]
)
def test_python_matters_by_its_minor_version(version, severity):
    found = differing({"python": version})
    assert [finding.severity for finding in found] == ([severity] if severity else [])


def test_another_implementation_is_noted():
    assert sole({"implementation": "PyPy"}).topic == "implementation"


def test_a_newer_saver_is_noted_and_an_older_one_is_not():
    assert sole({"packages.saver": "1.5.0"}).topic == "saver-ml"
    assert differing({"packages.saver": "1.3.9"}) == []


@pytest.mark.parametrize(
    ("change", "topic"),
    [
        ({"machine": "aarch64"}, "machine"), ({"byteorder": "big"}, "machine"),
        ({"platform": "macOS-14.5-arm64-arm-64bit"}, "machine"), ({"cpus": 4}, "processors"),
        ({"cpu": "Xeon"}, "processors"), ({"vector": "avx avx2 avx512f fma"}, "vector instructions"),
    ],
)  # fmt: skip
def test_another_machine_is_noted_for_the_last_bits(change, topic):
    found = sole(change)
    assert (found.severity, found.topic) == ("note", topic)
    assert "last" in found.meaning


def test_another_kernel_of_the_same_system_is_not_noted():
    assert differing({"platform": "Linux-5.4.0-x86_64-with-glibc2.31"}) == []


def test_versions_made_before_the_processor_was_recorded_are_compared_by_what_there_is():
    assert differing({"cpu": None, "vector": None, "cpus": None, "byteorder": None}) == []


def test_only_vector_instructions_that_differ_are_reported():
    found = sole({"vector": "avx avx2 avx512f"})
    assert (found.recorded, found.here) == ("avx512f", "fma")


class TestGpu:
    gpu = {"gpu": "NVIDIA H100", "gpus": 8, "cuda": "12.4"}  # noqa: RUF012

    def test_a_version_without_one_asks_for_none(self):
        assert diagnose(HERE, PARTS, HERE | self.gpu) == diagnose(HERE, PARTS, HERE)

    def test_where_there_is_none_tensors_come_back_on_the_cpu(self):
        found = sole(self.gpu)
        assert (found.recorded, found.here) == ("NVIDIA H100 x 8, CUDA 12.4", "none in use")
        assert "CPU" in found.meaning

    @pytest.mark.parametrize("other", [{"gpu": "NVIDIA A100"}, {"gpus": 1}, {"cuda": "11.8"}])
    def test_another_one_rounds_differently(self, other):
        assert "round" in sole(self.gpu, HERE | self.gpu | other).meaning

    def test_the_same_is_fine(self):
        assert differing(self.gpu, HERE | self.gpu) == []


class TestGit:
    def test_another_commit_is_noted_with_the_way_to_it(self):
        found = sole({"git.commit": "b" * 40})
        assert (found.severity, found.recorded, found.here) == ("note", "b" * 12, "a" * 12)
        assert f"git checkout {'b' * 12}" in found.meaning

    def test_uncommitted_changes_then_are_noted(self):
        found = sole({"git.dirty": True})
        assert "which the commit does not contain" in found.meaning
        assert found.recorded == f"{'a' * 12} + changes"

    def test_uncommitted_changes_here_are_noted(self):
        here = HERE | {"git": {"commit": "a" * 40, "dirty": True}}
        assert sole({}, here).meaning == "the code here has uncommitted changes"

    def test_here_may_be_no_repository(self):
        assert sole({}, HERE | {"git": None}).here == "no repository"

    def test_without_a_record_there_is_nothing_to_say(self):
        assert differing({"git": None}) == []

    @pytest.mark.parametrize("commit", ["main; rm -rf /", "--upload-pack=evil", "B" * 40])
    def test_only_a_commit_gets_into_a_line_to_type(self, commit):
        assert "checkout" not in sole({"git.commit": commit}).meaning


class TestRandom:
    def test_seeds_are_reported(self):
        (found,) = [finding for finding in diagnose(HERE, PARTS, HERE) if finding.topic == "seeds"]
        assert found.recorded == "python = 1, $.model.random_state = 3, torch = 9"

    def test_without_any_it_says_so(self):
        recorded = {"generators": {"python": "state 0123456789abcdef", "hash": "seed 0"}, "seeds": {}}
        found = sole({"random": recorded})
        assert (found.severity, found.recorded) == ("note", "none")

    def test_many_seeds_are_counted(self):
        recorded = HERE["random"] | {"seeds": {f"$.a{n}.random_state": n for n in range(20)}}
        found = diagnose(HERE | {"random": recorded}, PARTS, HERE)
        assert next(f for f in found if f.topic == "seeds").recorded.endswith("and 17 more")

    @pytest.mark.parametrize(("then", "now"), [("seed 1", "seed 0"), (None, "seed 0"), ("seed 1", None)])
    def test_another_order_of_sets_is_noted(self, then, now):
        sides = []
        for hash_seed in (then, now):
            generators = {"torch": "seed 9"} | ({"hash": hash_seed} if hash_seed else {})
            sides.append({**HERE, "random": HERE["random"] | {"generators": generators}})
        found = [f for f in diagnose(sides[0], PARTS, sides[1]) if f.severity != "ok"]
        assert [(f.topic, f.severity) for f in found] == [("PYTHONHASHSEED", "note")]
        assert {found[0].recorded, found[0].here} <= {"1", "0", "not set"}


ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=5), st.sampled_from([*HERE, "commit", "dirty"])), inner),
    ),
    max_leaves=10,
)
KEYS = st.sampled_from([*HERE, "gpu", "gpus", "cuda"])


@given(st.dictionaries(KEYS, ANYTHING), st.dictionaries(st.text(), st.lists(st.text()).map(Needs)))
def test_whatever_was_recorded_is_compared_without_a_crash(recorded, parts):
    found = diagnose(HERE | recorded, parts, HERE) + diagnose(recorded, parts, HERE)
    msgspec.json.encode([msgspec.to_builtins(finding) for finding in found if "\ud800" not in repr(finding)])
    assert all(len(finding.recorded) < 1000 for finding in found)


def test_a_number_that_python_does_not_write_is_compared_too():
    assert sole({"cpus": 10**5000}).recorded == "EPYC 9354 x a huge number"


def test_the_packages_that_saver_knows_have_codecs():
    assert registry.is_own("sklearn")
    assert not registry.known("oddity")


def test_what_is_known_not_to_work_under_the_version_here_is_named() -> None:
    parts = {"model": Needs(("sklearn",), ("sklearn.linear_model._logistic.LogisticRegression",))}

    def told(then: str, now: str) -> list[str]:
        sides = [HERE | {"packages": {"sklearn": version}} for version in (then, now)]
        found = diagnose(sides[0], parts, sides[1])
        assert len({finding.topic for finding in found}) == len(found), "one row for each topic"
        return [finding.meaning for finding in found if "will not predict" in finding.meaning]

    sentence = "LogisticRegression of 1.9.1 will not predict under 1.6.1: no attribute multi_class, so "
    sentence += "predict_proba fails"
    (meaning,) = told("1.9.1", "1.6.1")
    assert meaning.startswith(f"{sentence}; ")
    assert meaning.endswith("or pip install scikit-learn==1.9.1")
    assert told("1.6.1", "1.9.1") == told("1.9.1", "1.9.0") == told("", "1.6.1") == told("odd", "1.6.1") == []


def test_a_module_of_the_current_folder_is_found_there(tmp_path: Path, monkeypatch: Any) -> None:
    """The program `saver` does not search it, the scripts that people run in it do. It is not imported."""
    (tmp_path / "of_this_folder.py").write_text("raise SystemExit('it was imported')")
    parts = {"model": Needs(("of_this_folder", "of_no_folder"))}

    def told() -> dict[str, tuple[str, str]]:
        found = diagnose({}, parts, environment_here(["of_this_folder", "of_no_folder"]))
        return {each.topic: (each.severity, each.here) for each in found if "folder" in each.topic}

    missing = ("problem", "missing")
    assert told() == {"of_this_folder": missing, "of_no_folder": missing}
    monkeypatch.chdir(tmp_path)
    assert told() == {"of_this_folder": ("note", "in this folder"), "of_no_folder": missing}
    monkeypatch.syspath_prepend(tmp_path)
    assert told()["of_this_folder"] == ("ok", "no version")
    assert "of_this_folder" not in sys.modules
