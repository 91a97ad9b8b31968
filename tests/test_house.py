"""What is long is known, and gets shorter; what `make house` prints is made here."""

from __future__ import annotations

import ast
from pathlib import Path

from house import FUNCTION_LIMIT, functions, known, long


def test_nothing_gets_long_or_longer() -> None:
    """Divide a file of over 300 lines, or a function of over 30. tests/house.txt lists those that were long
    before: lines of it are taken away and numbers lowered, and nothing is added."""
    allowed = known()
    assert {name: lines for name, lines in long().items() if lines > allowed.get(name, 0)} == {}


def test_no_two_files_of_tests_have_the_same_name() -> None:
    """pytest would not collect the second one, where the library of the first is installed."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(names) == sorted({*names})


def test_the_list_of_what_is_long_shrinks() -> None:
    """What is short by now, or gone, is not listed any more."""
    assert known().keys() - long().keys() == set()


def test_functions_are_measured_without_their_docstrings() -> None:
    lines = "".join(f"        x = {n}\n" for n in range(FUNCTION_LIMIT + 1))
    source = f'class A:\n    def b(\n        self,\n    ):\n        """Two\n        lines."""\n{lines}'
    assert list(functions(ast.parse(source))) == [("A.b", FUNCTION_LIMIT + 1)]
