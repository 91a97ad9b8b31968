"""What a mutant is: the package with one thing taken away, and the tests that should notice."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
"""What is copied, and changed in the copy alone."""


class Mutant(NamedTuple):
    """In `file`, below `src/saver`, `new` stands in place of `old`, which is there exactly once.

    `more` are further changes of the same kind. `what` says what is taken away. `tests` are files or tests,
    below `tests`, of which one at least must fail. `equivalent` is empty, or the reason why nothing can
    notice: then it is not run.
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
        """The text of the file with the change. Raises ValueError unless each old text is there once."""
        text = (SOURCE / "saver" / self.file).read_text()
        for old, new in ((self.old, self.new), *self.more):
            if (count := text.count(old)) != 1:
                raise ValueError(f"{self.name}: {old!r} stands {count} times in {self.file}")
            text = text.replace(old, new)
        return text
