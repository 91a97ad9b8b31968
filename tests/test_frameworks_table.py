"""The README's table of frameworks says what tests show, no more and no less."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import frameworks_table


def test_the_table_in_the_readme_has_what_tests_show() -> None:
    cells = {(name, column) for name, columns in frameworks_table.written().items() for column in columns}
    assert cells == set(frameworks_table.marked()), "run pytest with --frameworks-table (CONTRIBUTING.md)"


def test_a_table_is_read_as_it_was_written() -> None:
    cells = frameworks_table.written()
    assert cells
    assert frameworks_table.table(cells) in frameworks_table.README.read_text()


@pytest.mark.parametrize("worker", [False, True])
@pytest.mark.parametrize("outcome", ["passed", "failed"])
def test_only_a_run_in_which_all_passed_writes_a_table_and_it_writes_all(
    worker: bool, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = [("shows", ["Some", "save"])]
    report = SimpleNamespace(user_properties=properties, nodeid="a::test")
    config = SimpleNamespace(getoption=lambda name: True, **({"workerinput": {}} if worker else {}))
    lines: list[str] = []
    reporter = SimpleNamespace(config=config, stats={outcome: [report]}, write_line=lines.append)
    tables: list[frameworks_table.Shown] = []
    monkeypatch.setattr(frameworks_table, "write", tables.append)
    frameworks_table.finish(reporter)
    assert tables == ([{"Some": {"save": "yes"}}] if outcome == "passed" and not worker else [])
    assert bool(lines) == (outcome == "failed" and not worker)


HERE = Path(__file__).parent


@pytest.mark.parametrize("name", frameworks_table.LIBRARIES)
def test_each_library_is_one_that_tests_skip_without(name: str) -> None:
    paths = (path for path in HERE.rglob("test_*.py") if path != Path(__file__))
    assert any(f'importorskip("{name}"' in path.read_text("utf-8") for path in paths)


def needed(path: Path, function: object) -> bool:
    return frameworks_table.needs_framework(SimpleNamespace(path=path, obj=function))


def test_a_test_needs_a_framework_if_it_or_its_module_is_skipped_without() -> None:
    def skips() -> None:
        pytest.importorskip("keras")

    def runs() -> None:
        pytest.importorskip("sklearn")

    assert needed(Path(__file__), skips)
    assert not needed(Path(__file__), runs)
    assert needed(HERE / "families" / "test_xgboost.py", runs)
    assert needed(HERE / "families" / "test_keras.py", runs)
    assert not needed(HERE / "families" / "test_numpy.py", runs)


@pytest.mark.parametrize(
    ("value", "needs"),
    [("keras", True), ("jax.nn:relu", True), ("xgboost-3", True), ("kerasy", False), ("sklearn.svm", False)],
)
def test_a_test_needs_a_framework_if_a_parameter_is_in_one(value: str, needs: bool) -> None:
    item = SimpleNamespace(
        path=HERE / "families" / "test_numpy.py", obj=needed, callspec=SimpleNamespace(params={"name": value})
    )
    assert frameworks_table.needs_framework(item) is needs
