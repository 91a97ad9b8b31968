"""A saved model that answers: rows in, outputs out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from saver import arguments
from saver.errors import NotFoundError, quoted
from saver.line import Showing, shown
from saver.page import Page, Shown
from saver.predicting import libraries
from saver.predicting.pipeline import Answer
from saver.schema import Schema, to_rows

if TYPE_CHECKING:
    from saver.predicting.goldens import Predicted
    from saver.predicting.quick import Quicker
    from saver.predicting.scoring import Scored

Missing = Literal["seen", "accept", "refuse"]


class Predictor(Shown):
    """A loaded model with its schema. It has no state of its own; whether several threads may call it at
    once depends on the model.

    `where` is what messages call the version or file, and `identity` the hash of all of it.
    """

    def __init__(
        self, schema: Schema, answer: Answer, where: str, check: Callable[[], Predicted] | None = None,
        identity: str = "", quick: Callable[[], Quicker | None] = lambda: None,
    ) -> None:  # fmt: skip
        self.schema = schema
        self.where = where
        self._answer = answer
        self._check = check
        self.identity = identity
        self._quick = quick

    def _line(self) -> str:
        return f"{self.where}: {self.schema._line()}"

    def _page(self) -> Page:
        return self.schema._page()

    def check(self) -> Predicted:
        """Ask the model again what it was asked when it was saved, at the batch shape recorded. Raises
        NotFoundError if this predictor was made by hand, without golden predictions."""
        if self._check is None:
            raise NotFoundError(
                f"{self.where}: it has no golden predictions; open it from a version or a file"
            )
        return self._check()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return tuple(field.name for field in self.schema.outputs)

    def predict(
        self, inputs: Mapping[str, NDArray[Any]], only: tuple[str, ...] = ()
    ) -> dict[str, NDArray[Any]]:
        """The outputs by name, each with a row for each row of `inputs`, which `schema.check` or
        `schema.from_rows` returned. With `only`, just these outputs: the others are not computed."""
        return self.answer(libraries.made(self.schema, inputs), only)

    def answer(self, batch: Any, only: tuple[str, ...] = ()) -> dict[str, NDArray[Any]]:
        """The outputs for a batch in the container that the model takes: an array, a frame, a tensor."""
        return self._answer(batch, only) if only else self._answer(batch)

    @shown("predicting")
    def score(
        self, source: str | os.PathLike[str], target: str | os.PathLike[str], *, rows: int = 1000,
        only: Iterable[str] = (), replace: bool = False, progress: Showing = None,
    ) -> Scored:  # fmt: skip
        """Answer all rows of a file (`.csv`, `.parquet`, `.npy`, `.json`, `.jsonl`), and write a row for each
        to `target` (`.csv` or `.jsonl`), in order, which appears whole and durable. Memory is that of `rows`
        rows, which are answered at once.

        A run that was interrupted goes on where it was, if the model, the data and the settings are the same;
        the result has the same bytes. `only` names the outputs that are wanted. A `target` that exists is
        replaced with `replace` only. `progress(done, total)` is called with bytes of the source. Raises
        BadInputError, which counts rows from 0, and CannotWriteError.
        """
        from saver.predicting.scoring import score

        arguments.flag("replace", replace)
        size = arguments.whole_number("rows", rows, 1, 1 << 24)
        names = tuple(arguments.texts("only", only))
        unknown = [name for name in names if name not in self.outputs]
        if unknown:
            there = ", ".join(self.outputs)
            raise ValueError(f"only: there is no output {quoted(unknown[0])}; there are {there}")
        progress = arguments.callback("progress", progress)
        return score(
            self, os.fspath(source), os.fspath(target), rows=size, only=names, replace=replace,
            progress=progress,
        )  # fmt: skip

    def from_rows(self, rows: Any, *, missing: Missing = "seen") -> dict[str, NDArray[Any]]:
        """Rows of decoded JSON as inputs, checked: see `Schema.from_rows`."""
        return self.schema.from_rows(rows, missing=missing)

    def from_csv(self, text: str, *, missing: Missing = "seen") -> dict[str, NDArray[Any]]:
        """CSV as inputs, checked: see `Schema.from_csv`."""
        return self.schema.from_csv(text, missing=missing)

    def to_rows(self, outputs: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
        """Outputs as rows for JSON."""
        return to_rows(outputs)
