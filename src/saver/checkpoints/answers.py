"""What the versions of a run record of their predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saver import answering
from saver.errors import CannotSaveError
from saver.repo.draft import Encoded


class Answers:
    """An example for each version of a run, and how its objects answer it; nothing without an example."""

    def __init__(self, example: Any = None, pipeline: Any = None) -> None:
        self._example = example
        self._pipeline = pipeline

    def demand(self, objects: Mapping[str, Any], by_state: Mapping[str, bool]) -> None:
        """Raise now what the first save would raise, and for an object that is saved as its state dict, with
        which nobody could predict after loading."""
        found = answering.recorded(objects, self._example, self._pipeline)
        if found is None:
            return
        how = found.pipeline
        needed = objects if callable(how) else [name.strip() for name in how.split("|")]
        for name in needed:
            if by_state.get(name) and not callable(how):
                raise CannotSaveError(
                    f"example: {name!r} is saved as its state dict, with which nothing can be predicted "
                    "after loading; make it of a class at the top level of a module, or leave the example out"
                )

    def beside(self, encoded: Encoded, objects: Mapping[str, Any]) -> Encoded:
        """What was encoded of the objects, together with what they answer now."""
        return answering.together(encoded, answering.recorded(objects, self._example, self._pipeline))
