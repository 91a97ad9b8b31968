"""Ray Train gets references of versions, and Ray Serve a deployment that answers with them.

`report` and `ref_of` need `ray[train]`; `application` needs `ray[serve]`, and Saver's extra `serve`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saver.integrations.ray.serving import application
    from saver.integrations.ray.train import ref_of, report

__all__ = ["application", "ref_of", "report"]


if not TYPE_CHECKING:  # otherwise type checkers would take any name for one that is there

    def __getattr__(name: str) -> Any:
        """Who uses one part of Ray need not have the other one."""
        if name == "application":
            from saver.integrations.ray import serving as module
        elif name in __all__:
            from saver.integrations.ray import train as module
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(module, name)
        return found
