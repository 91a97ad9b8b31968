"""What to write so that a file may use classes that the policy does not know."""

from __future__ import annotations

from collections.abc import Iterable

MAIN = "__main__"
"""The module of classes that were defined in a script or a notebook."""


def allowing(names: Iterable[str]) -> str:
    """The arguments that allow a file to use these classes: `trust`, but for those of a script or a notebook,
    which other programs do not find under that name, `classes`."""
    listed = sorted(names)
    elsewhere = [name for name in listed if not name.startswith(f"{MAIN}.")]
    moved = [name for name in listed if name.startswith(f"{MAIN}.")]
    pairs = ", ".join(f'"{name}": {name.removeprefix(f"{MAIN}.")}' for name in moved)
    found = ["trust=[{}]".format(", ".join(f'"{name}"' for name in elsewhere))] if elsewhere else []
    return ", ".join([*found, f"classes={{{pairs}}}"] if moved else found)
