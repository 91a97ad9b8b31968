"""Saver and the files here agree, whichever rule one breaks; the files notice if Saver drops a rule."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from check import agrees, arguments, cases
from click.testing import CliRunner
from corpus import rules, write
from dropping import modules_of, without
from runner import structure, verdict

from saver.cli import program

FOLDER = Path(__file__).parent
CASES = cases()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("layer", range(1, 7))
def test_saver_gives_the_answer_of_every_case(layer: int) -> None:
    wrong = []
    for case in CASES:
        if case["layer"] == layer:
            found = verdict(*arguments(case))
            if found["verdict"] == "unsupported" and case["verdict"] == "valid":
                found = structure(*arguments(case))  # of a library that is not installed here
            if not agrees(case, found):
                wrong.append((case["file"], found.get("rule"), found.get("message", "")[-200:]))
    assert wrong == []


def test_the_command_line_names_the_rule() -> None:
    case = next(case for case in CASES if case.get("rule") == "1.05")
    found = CliRunner().invoke(program, ["show", *arguments(case)])
    assert found.exit_code == 1
    assert "(rule 1.05 of the format)" in found.output + getattr(found, "stderr", "")


def test_the_files_are_what_the_generator_makes(tmp_path: Path) -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        write(tmp_path)
    finally:
        sys.setrecursionlimit(limit)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    kept = [path for name in ("valid", "invalid") for path in (FOLDER / name).rglob("*") if path.is_file()]
    kept += [FOLDER / "cases.json", FOLDER / "rules.json"]
    assert {path.relative_to(FOLDER): path.read_bytes() for path in kept} == made


def test_every_rule_has_a_file_and_every_file_a_rule() -> None:
    assert {case["rule"] for case in CASES if case["verdict"] == "invalid"} == set(rules())
    assert json.loads((FOLDER / "rules.json").read_text()) == rules()


@pytest.mark.parametrize("rule", rules())
def test_a_rule_that_saver_drops_is_noticed(rule: str) -> None:
    chosen = [case for case in CASES if case.get("rule") == rule]
    assert modules_of(rule), "no module names it"
    with without(rule):
        for case in chosen:
            try:
                if not agrees(case, verdict(*arguments(case))):
                    return
            except Exception:
                return
    pytest.fail("every file of the rule got the same answer without it")
