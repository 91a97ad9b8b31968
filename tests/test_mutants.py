"""The table of mutants cannot rot: what each takes away is there, and the tests that should notice, too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mutants.mutant import ROOT, Mutant
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


def test_the_documentation_has_them_all() -> None:
    told = Path(ROOT, "docs", "reliability-mutants.md").read_text()
    assert re.findall(r"^\| ([a-z-]+) \|", told, re.MULTILINE)[:1] == ["mutation"]
    named = [name for name in re.findall(r"^\| ([a-z-]+) \|", told, re.MULTILINE) if name != "mutation"]
    assert [name for name in named if name.strip("-")] == [mutant.name for mutant in MUTANTS]
