"""The table of mutants cannot rot: what each takes away is there, and the tests that should notice, too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mutants.mutant import ROOT, SOURCE, Mutant
from mutants.run import run
from mutants.table import MUTANTS

by_name = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


def test_they_have_names_of_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@by_name
def test_what_a_mutant_takes_away_is_there_once_and_python_is_left(mutant: Mutant) -> None:
    compile(mutant.changed(), mutant.file, "exec")


@by_name
def test_there_are_tests_that_should_notice(mutant: Mutant) -> None:
    assert bool(mutant.tests) != bool(mutant.equivalent)
    for test in mutant.tests:
        name, _, function = test.partition("::")
        text = (ROOT / "tests" / name).read_text()
        assert not function or re.search(rf"^def {function}\(", text, re.MULTILINE), test


@pytest.mark.slow
def test_a_run_tells_what_was_noticed_what_was_not_and_what_could_not_be_run() -> None:
    (mutant,) = [mutant for mutant in MUTANTS if mutant.name == "reserved-keys"]
    before = (SOURCE / "saver" / mutant.file).read_bytes()
    found = run(mutant)
    assert (found.caught, found.by.partition("[")[0]) == (True, mutant.tests[0])
    assert run(mutant._replace(tests=("test_tree.py::test_other_keys_are_not",))).caught is False
    missing = run(mutant._replace(tests=("test_tree.py::test_nothing",)))
    assert missing.caught is None
    assert "could not be run" in missing.by
    assert (SOURCE / "saver" / mutant.file).read_bytes() == before


def test_the_documentation_has_them_all() -> None:
    told = Path(ROOT, "docs", "reliability-mutants.md").read_text()
    assert re.findall(r"^\| ([a-z-]+) \|", told, re.MULTILINE)[:1] == ["mutation"]
    named = [name for name in re.findall(r"^\| ([a-z-]+) \|", told, re.MULTILINE) if name != "mutation"]
    assert [name for name in named if name.strip("-")] == [mutant.name for mutant in MUTANTS]


def test_the_documentation_names_files_that_are_there() -> None:
    told = Path(ROOT, "docs", "reliability-mutants.md").read_text()
    named = set(re.findall(r"\(`([a-z_/]+\.py)`\)", told))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / "tests" / name).is_file()] == []
