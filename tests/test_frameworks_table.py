"""The README's table of frameworks says what tests show, no more and no less."""

from __future__ import annotations

import frameworks_table


def test_the_table_in_the_readme_has_what_tests_show() -> None:
    cells = {(name, column) for name, columns in frameworks_table.written().items() for column in columns}
    assert cells == set(frameworks_table.marked()), "run pytest with --frameworks-table (CONTRIBUTING.md)"


def test_a_table_is_read_as_it_was_written() -> None:
    cells = frameworks_table.written()
    assert cells
    assert frameworks_table.table(cells) in frameworks_table.README.read_text()
