"""What a run does not save of its objects, said when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saver.callers import warn
from saver.checkpoints.remembered import remembered
from saver.framework import Rest
from saver.restoring.contract import kind
from saver.restoring.report import listed


def warn_of_losses(objects: Mapping[str, Any], by_state: Mapping[str, bool], rest: Rest) -> None:
    """Warn about state that will not be saved, before anybody relies on it; `by_state` tells which objects
    are saved as their state dicts."""
    if rest.lost:
        warn(
            f"not saved, for lack of a data form: {listed(rest.lost)}; a resumed run has what its "
            "objects were made with; register the class with saver.register, or save it in the state dict"
        )
    if rest.absent:
        warn(f"{listed(rest.absent)}: not among the objects of the run, so its state is not saved; add it")
    if rest.unnamed:
        warn(
            f"{listed(rest.unnamed)}: saved as a state dict without names, so its state goes by "
            "position; keep the order in which the script declares layers and groups, make it with "
            "named_parameters(), or take out what has no data form"
        )
    outside = remembered(objects)
    if outside:
        warn(
            f"not saved, because it is outside of the objects: {listed(outside)}; a resumed run begins "
            "with what the script makes; keep it in an attribute or a buffer of an object of the run"
        )
    for name, obj in objects.items():
        if by_state[name] and name not in rest.whole and _is_empty(obj):
            warn(
                f"{name}: state_dict() of this {kind(obj)} is empty, so nothing of it is saved; "
                "a resumed run has what it was made with"
            )


def _is_empty(obj: Any) -> bool:
    """Whether an object has attributes, and an empty state dict."""
    return bool(vars(obj) if hasattr(obj, "__dict__") else ()) and not obj.state_dict()
