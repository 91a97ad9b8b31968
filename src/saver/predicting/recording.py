"""What a save records of predictions; `record.py` reads it again."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver.codec import Encoder
from saver.encoding import encoded_part, makes_parts
from saver.errors import CannotSaveError, IncompatibleError, SaverError
from saver.predicting import libraries
from saver.predicting.comparing import compared
from saver.predicting.contract import Taken
from saver.predicting.deriving import schema_from
from saver.predicting.example import Example, Tolerance
from saver.predicting.holding import BYTES
from saver.predicting.pipeline import Answer, answering, found_in
from saver.random_states import continued, random_states
from saver.repo.draft import Encoded
from saver.repo.manifest import EXAMPLE, SOLE
from saver.schema import Schema
from saver.tree import Node

ROWS = 200
"""Rows whose predictions are kept."""


class Recorded(msgspec.Struct, frozen=True):
    """An example as it is to be saved: rows in their container, what was answered, and the rest as JSON."""

    schema: Schema
    pipeline: Any
    inputs: Any
    outputs: Mapping[str, NDArray[Any]]
    rows: int
    tolerance: Tolerance

    def encoded(self) -> Encoded:
        """The part that holds it."""
        encoder = Encoder()
        held = {"inputs": self.inputs, "outputs": dict(self.outputs), "pipeline": self.pipeline}
        node = encoder.part(EXAMPLE, held)
        assert isinstance(node, Node)  # a dict
        tree = {
            **node.state, "rows": self.rows,
            "schema": msgspec.json.decode(msgspec.json.encode(self.schema)),
            "tolerance": msgspec.to_builtins(self.tolerance),
        }  # fmt: skip
        return Encoded({EXAMPLE: encoded_part(tree, encoder.batches)}, encoder.tensors, True)


def record(obj: Any, example: Any, pipeline: Any = None) -> Recorded:
    """What a save of `obj` records of its predictions, given rows of inputs (or an `Example`) and how parts
    answer: None if that is to be found. The model answers twice, and no random state moves. Raises
    CannotSaveError."""
    given = example if isinstance(example, Example) else Example(example)
    parts = obj if makes_parts(obj) else {SOLE: obj}
    library, taken = libraries.taken(given.data)
    how = found_in(parts) if pipeline is None else pipeline
    if not isinstance(how, (str, FunctionType)):
        raise TypeError("pipeline: pass names of parts, as in 'scaler | model', or a function of a module")
    answer = answering(how, parts, "pipeline")
    chosen = _chosen(taken)
    outputs = _answered_twice(answer, taken, chosen, given.tolerance)
    schema = schema_from(library, taken, outputs, given.given)
    return Recorded(schema, how, taken.take(chosen), outputs, len(chosen), given.tolerance)


def with_example(encoded: Encoded, recorded: Recorded | None) -> Encoded:
    """What was encoded, together with the example."""
    if recorded is None:
        return encoded
    its = recorded.encoded()
    return msgspec.structs.replace(
        encoded, parts={**encoded.parts, **its.parts}, tensors={**encoded.tensors, **its.tensors}
    )


def _chosen(taken: Taken) -> NDArray[np.int64]:
    """The rows to keep: at equal distances, so that sorted data is met from end to end."""
    width = sum(
        column.values.nbytes * (8 if column.values.dtype == object else 1)
        for column in taken.columns.values()
    )
    fit = max(1, BYTES * taken.rows // max(1, width))
    return np.linspace(0, taken.rows - 1, min(ROWS, taken.rows, fit)).astype(np.int64)


def _answered_twice(
    answer: Answer, taken: Taken, chosen: NDArray[np.int64], tolerance: Tolerance
) -> dict[str, NDArray[Any]]:
    """What the model answers. Raises CannotSaveError if that is not a row for each row, or not the same
    twice."""
    move_back = continued(random_states())
    try:
        first, again = answer(taken.take(chosen)), answer(taken.take(chosen))
    except IncompatibleError as error:
        raise CannotSaveError(f"example: {error}") from error
    except SaverError:
        raise
    except Exception as error:  # a model may raise what it likes
        raise CannotSaveError(
            f"example: the model does not answer it: {type(error).__name__}: {error}; pass rows as it takes "
            "them, and say with pipeline= which parts prepare them"
        ) from error
    finally:
        move_back()
    if not first:
        raise CannotSaveError("example: the model answers nothing; let a function answer, with pipeline=")
    for name, values in first.items():
        if values.ndim == 0 or len(values) != len(chosen):
            raise CannotSaveError(
                f"example: the output {name!r} has the shape {values.shape} for {len(chosen):,} rows; it "
                "must have a row for each; let a function answer, with pipeline="
            )
    found = compared(first, again, len(chosen), tolerance)
    if not found.same:
        raise CannotSaveError(
            f"example: asked twice, the model answers {found.rows - found.identical:,} of {found.rows:,} "
            "rows differently; take what is random out of it, or say by how much it may differ: "
            "saver.predicting.Example(rows, tolerance=…)"
        )
    return first
