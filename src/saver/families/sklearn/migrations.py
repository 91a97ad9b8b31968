"""What scikit-learn called or stored differently before: names of modules, and attributes by version."""

from __future__ import annotations

from typing import Any

from saver.pickled import Call, Pairs

NAMES: tuple[tuple[str, str], ...] = ()


def version_of(call: Call) -> str | None:
    """The version of scikit-learn that an estimator records."""
    if not call.has_state or type(call.state) is not Pairs:
        return None
    for key, value in call.state.items:
        if key == "_sklearn_version" and type(value) is str:
            return value
    return None


def migrated(name: str, version: str | None, state: dict[str, Any]) -> dict[str, Any]:
    """The attributes as the class of today has them."""
    return state
