"""A mutant: the package with one safeguard removed, and the tests that should notice."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
"""This folder is copied; only the copy is changed."""


class Mutant(NamedTuple):
    """In `file`, below `src/saver`, `new` replaces `old`, which must occur exactly once.

    `more` are further replacements of the same kind. `what` says what is removed. `tests` are files or tests
    below `tests`, at least one of which must fail. `equivalent` is empty, or the reason why no test can
    notice: then the mutant is not run.
    """

    name: str
    file: str
    old: str
    new: str
    what: str
    tests: tuple[str, ...]
    equivalent: str = ""
    more: tuple[tuple[str, str], ...] = ()

    def changed(self) -> str:
        """The text of the file with the change. Raises ValueError unless each old text occurs once."""
        text = (SOURCE / "saver" / self.file).read_text()
        for old, new in ((self.old, self.new), *self.more):
            if (count := text.count(old)) != 1:
                raise ValueError(f"{self.name}: {old!r} occurs {count} times in {self.file}")
            text = text.replace(old, new)
        return text
