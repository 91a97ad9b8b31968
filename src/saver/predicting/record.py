"""What a version records of its predictions, as it is read.

It is the part `saver/example` of the manifest, whose tree holds the schema as JSON, how the parts make a
prediction, some rows of the example in the container that the model takes, and what the model answered to
them at once, in one batch.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver import trust as policy
from saver.allowing import allowing
from saver.errors import IncompatibleError, NotFoundError, UntrustedError
from saver.opened import Opened
from saver.predicting.example import Tolerance, is_sound
from saver.predicting.holding import demand_held
from saver.repo.manifest import EXAMPLE
from saver.schema import schema_of
from saver.tree import Node

ROWS_LIMIT = 1_000_000
"""Rows of golden predictions that are read: many more than are ever written."""


class Record:
    """What an opened version or file records of its predictions. Builds nothing until that is used.

    Raises IncompatibleError if no Saver wrote it so.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self.where = opened.where
        root = opened.trees[EXAMPLE].root
        if type(root) is not dict or not {"inputs", "outputs", "pipeline", "schema"} <= root.keys():
            raise IncompatibleError(f"{opened.where}: its example is not one that Saver writes")
        self._root: dict[str, Any] = root
        self.schema = schema_of(root["schema"], opened.where)
        try:
            self.tolerance = msgspec.convert(root.get("tolerance"), Tolerance)
        except msgspec.ValidationError as error:
            raise IncompatibleError(f"{opened.where}: its tolerance is malformed: {error}") from None
        if not is_sound(self.tolerance):
            raise IncompatibleError(f"{opened.where}: its tolerance is malformed: {self.tolerance.text()}")
        rows = root.get("rows")
        if type(rows) is not int or not 0 < rows <= ROWS_LIMIT:
            raise IncompatibleError(f"{opened.where}: its example does not say how many rows it has")
        self.rows: int = rows

    @cached_property
    def pipeline(self) -> str:
        """How parts make a prediction: their names, `scaler | model`, or the name of a function."""
        how = self._root["pipeline"]
        if isinstance(how, Node) and how.codec == "function" and how.cls is not None:
            return policy.dotted(how.cls)
        if not isinstance(how, str):
            raise IncompatibleError(f"{self.where}: its pipeline is neither parts nor a function")
        return how

    def call(self, trusted: policy.Policy) -> Any:
        """The pipeline: a text, or the function, which the policy must trust by name: that it was reviewed as
        a value in an object is not enough to run it on all parts. Raises UntrustedError."""
        how, name = self._root["pipeline"], self.pipeline
        if isinstance(how, str):
            return how
        if not trusted.covers("pipeline.function", how.cls):
            raise UntrustedError(
                f"{self.where}: its predictions are made by {name}, which the policy does not trust; "
                f"nothing was imported. If you trust the author, pass {allowing([name])}",
                (name,),
            )
        return self._built(how, trusted)

    @property
    def parts(self) -> list[str] | None:
        """The names of the parts that the pipeline needs; None for a function, which may need all."""
        how = self._root["pipeline"]
        return [name.strip() for name in how.split("|")] if isinstance(how, str) else None

    def inputs(self, trusted: policy.Policy) -> Any:
        """The recorded rows, in the container that the model takes: each call makes them anew. Raises
        IncompatibleError unless they are as many as it says, and as large as what was recorded."""
        tensors, found = self._opened.tensors, self._built(self._root["inputs"], trusted)
        recorded = sum(tensors.info(name).length for name in self._opened.tensors_of([EXAMPLE]))
        demand_held(found, self.rows, recorded, self.where)
        return found

    def outputs(self, trusted: policy.Policy) -> dict[str, NDArray[Any]]:
        """What the model answered."""
        found = self._built(self._root["outputs"], trusted)
        if (
            type(found) is not dict
            or not found
            or not all(
                isinstance(each, np.ndarray) and each.ndim and len(each) == self.rows
                for each in found.values()
            )
        ):
            raise IncompatibleError(f"{self.where}: its golden predictions are not arrays by name")
        return found

    def _built(self, value: Any, trusted: policy.Policy) -> Any:
        nodes = self._opened.admit(trusted)
        self._opened.tensors.verify(self._opened.tensors_of([EXAMPLE]), None)
        return self._opened.decoder(nodes, self._opened.budget(), None, trusted)(value)


def record_of(opened: Opened) -> Record | None:
    """What an opened version or file records of its predictions; None if it was saved without an example."""
    return None if opened.example is None else Record(opened.example)


def demand_record(opened: Opened) -> Record:
    """The same; raises NotFoundError if there is none."""
    found = record_of(opened)
    if found is None:
        raise NotFoundError(
            f"{opened.where} has no schema, and no golden predictions: it was saved without an example; save "
            "it again with example=…, see docs/predictions.md"
        )
    return found
