"""What to do so that a file may use classes that the policy does not know, or that are not found."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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


def unreachable(name: str, error: Exception, for_pip: Callable[[str | None], str]) -> str:
    """Why a name (`module:qualname`) leads nowhere, after the `error` of looking for it, and what to do.
    `for_pip` names the library of a module for pip."""
    module, _, qualname = name.partition(":")
    short = qualname.rpartition(".")[2]
    entry = f'classes={{"{module}.{qualname}": {short}}}'
    fact = f"which is not on this machine ({error})"
    if module == MAIN:
        return f"{fact}; it was made by a script or a notebook: import {short}, and pass {entry}"
    if isinstance(error, ModuleNotFoundError) and for_pip(error.name):
        return f"{fact}; pip install {for_pip(error.name)}"
    if not isinstance(error, (ModuleNotFoundError, AttributeError)):
        fact = f"which cannot be imported on this machine ({error})"
    return (
        f"{fact}; install the package that contains it, in the version that `saver show` lists, or, if it is "
        f"elsewhere now, import {short} and pass {entry}"
    )
