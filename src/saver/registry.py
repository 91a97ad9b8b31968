"""Finds plugins by name: a file in a folder of Saver's own, or an installed entry point.

The only registry. A codec for `xgboost` is `saver/codecs/xgboost.py`, or an entry point named `xgboost`
in the group `saver.codecs` of an installed distribution. Nothing is imported to learn that a name exists.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from types import ModuleType

from saver.errors import Unsupported


@cache
def _files(kind: str) -> frozenset[str]:
    folder = os.path.join(os.path.dirname(__file__), kind)
    return frozenset(name[:-3] for name in os.listdir(folder) if name.endswith(".py") and name[0] != "_")


@cache
def _entry_points(kind: str) -> dict[str, str]:
    from importlib.metadata import entry_points

    return {point.name: point.module for point in entry_points(group=f"saver.{kind}")}


def known(kind: str, name: str) -> bool:
    """Whether there is such a plugin; imports nothing."""
    return name in _files(kind) or name in _entry_points(kind)


def find(kind: str, name: str) -> ModuleType:
    """Import and return the module that implements `name`; Unsupported when there is none."""
    if name in _files(kind):
        return import_module(f"saver.{kind}.{name}")
    module = _entry_points(kind).get(name)
    if module is None:
        raise Unsupported(
            f"this Saver has no {kind} for {name[:80]!r}; install the package that provides it "
            f"(an entry point {name[:80]!r} in the group 'saver.{kind}'), or a newer Saver"
        )
    return import_module(module)
