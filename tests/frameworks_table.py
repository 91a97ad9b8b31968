"""The README's table of frameworks, written from the tests that show what it says.

A test says what it shows with ``@pytest.mark.shows("XGBoost", "save", "load")``, and how many hostile files
it tried with ``record_property("hostile files", 600)``. ``python -m pytest -m shows --frameworks-table``
writes the table after a run in which all of them passed; if some did not, it says so and writes nothing.
"""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

README = Path(__file__).parents[1] / "README.md"
COLUMNS = ("save", "load", "restore", "resume to the bit", "callback", "hostile files tried")
BEGIN, END = "<!-- frameworks: written by pytest --frameworks-table -->\n", "<!-- end of frameworks -->\n"

LIBRARIES = (
    "accelerate", "catboost", "equinox", "flax", "jax", "keras", "lightgbm", "lightning", "onnx",
    "onnxruntime", "optax", "peft", "ray", "sentencepiece", "skl2onnx", "skorch", "sktime", "statsmodels",
    "tensorflow", "tokenizers", "torchmetrics", "transformers", "xgboost",
)  # fmt: skip
"""Those that the extra `test-all` has beside `test`."""

_ANY = "|".join(LIBRARIES)
_NEEDS = re.compile(rf"""pytest\.importorskip\(\s*"({_ANY})\"""")
_WHOLE = re.compile(
    rf"""^(?:\w+ = )?{_NEEDS.pattern}|could not import '({_ANY})'", allow_module_level""", re.MULTILINE
)

_WITHIN = re.compile(rf"(?:{_ANY})(?:[.:-]|$)")

Shown = dict[str, dict[str, str]]
"""Of each framework, its cells."""


@cache
def _text(path: Path) -> str:
    return path.read_text("utf-8")


@cache
def _skips(path: Path, test: Any) -> bool:
    text = _text(path)
    return bool(_WHOLE.search(text) or (_NEEDS.search(text) and _NEEDS.search(inspect.getsource(test))))


def needs_framework(item: Any) -> bool:
    """Whether the test, or its whole module, is skipped where one of the libraries is missing; or a parameter
    of it is a library, or a name in one."""
    if _skips(item.path, getattr(item.obj, "__func__", item.obj)):
        return True
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return any(type(value) is str and _WITHIN.match(value) for value in values)


def mark(items: Iterable[Any]) -> None:
    """Lets the report of each test say what the test shows, and finds those that need a framework."""
    for item in items:
        if needs_framework(item):
            item.add_marker("frameworks")
        for marker in item.iter_markers("shows"):
            framework, *columns = marker.args
            unknown = [column for column in columns if column not in COLUMNS]
            if unknown:
                raise ValueError(f"{item.nodeid} shows {unknown}; the columns are {', '.join(COLUMNS)}")
            item.user_properties.append(("shows", [framework, *columns]))


def shown(stats: dict[str, list[Any]]) -> tuple[Shown, list[str]]:
    """What the tests of a run show, and the tests that did not pass."""
    cells: Shown = defaultdict(dict)
    hostile: defaultdict[str, int] = defaultdict(int)
    failed = []
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in stats.get(outcome, ()):
            properties = getattr(report, "user_properties", ())
            for framework, *columns in (value for name, value in properties if name == "shows"):
                if outcome != "passed":
                    failed.append(report.nodeid)
                cells[framework] |= dict.fromkeys(columns, "yes")
                if COLUMNS[-1] in columns:
                    hostile[framework] += sum(v for name, v in properties if name == "hostile files")
    for framework, number in hostile.items():
        cells[framework][COLUMNS[-1]] = f"{number:,}"
    return cells, failed


def table(cells: Shown) -> str:
    """It in Markdown, by name."""
    names = sorted(cells, key=str.lower)
    head = ("", *COLUMNS), ("---",) * len(COLUMNS) + ("---:",)
    rows = ((name, *(cells[name].get(column, "no") for column in COLUMNS)) for name in names)
    lines = [f"| {' | '.join(row)} |" for row in (*head, *rows)]
    return "".join(f"{line}\n" for line in lines)


def written() -> Shown:
    """The README's table."""
    text = README.read_text().partition(BEGIN)[2].partition(END)[0]
    cells: Shown = {}
    for line in text.splitlines()[2:]:
        framework, *values = (cell.strip() for cell in line.strip("|").split("|"))
        cells[framework] = {column: v for column, v in zip(COLUMNS, values, strict=True) if v != "no"}
    return cells


def write(cells: Shown) -> None:
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(f"{before}{BEGIN}{table(cells)}{END}{rest.partition(END)[2]}")


def finish(reporter: Any) -> None:
    """Write the table after a run for it, in the process that has the reports of all tests: with
    pytest-xdist, the others know of their own tests only."""
    if hasattr(reporter.config, "workerinput") or not reporter.config.getoption("--frameworks-table"):
        return
    cells, failed = shown(reporter.stats)
    if failed:
        reporter.write_line(f"no table: {len(failed)} of its tests did not pass, such as {failed[0]}")
    else:
        write(cells)


def marked() -> Iterator[tuple[str, str]]:
    """Each framework and column that a mark in the tests names, whether its library is installed or not."""
    for path in Path(__file__).parent.rglob("test_*.py"):
        for arguments in re.findall(r"mark\.shows\(([^)]*)\)", path.read_text()):
            framework, *columns = re.findall(r'"([^"]*)"', arguments)
            yield from ((framework, column) for column in columns)
