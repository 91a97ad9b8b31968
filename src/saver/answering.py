"""Predictions of the versions of a store, and what `load` checks of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from saver import arguments
from saver.opened import Opened
from saver.repo.draft import Encoded
from saver.signing.policy import SignedBy
from saver.trust import Allowed, allowed

if TYPE_CHECKING:  # imported when they are called: `import saver` stays fast
    from saver.predicting import Predicted, Predictor
    from saver.predicting.recording import Recorded
    from saver.repo.repository import Repository
    from saver.repo.version import Version
    from saver.schema import Schema


class Answering:
    """The methods of a store about predictions."""

    _repo: Repository

    def predictor(
        self, ref: str | Version, *, trust: Iterable[str] = (), classes: Mapping[str, Any] | None = None,
        device: Any = None, limit: int | str | None = None, signed_by: SignedBy = None, check: bool = False,
    ) -> Predictor:  # fmt: skip
        """A model that answers rows, as its pipeline and schema say: see docs/predictions.md.

        It must have been saved with an example. Only the parts that it needs are loaded. With `check`, it
        must first answer its golden predictions as it did then. The other arguments and the errors are those
        of `load`.
        """
        from saver.demanding import open_signed
        from saver.predicting.opening import predictor_of

        permitted = arguments.loading(trust, classes, limit)
        arguments.flag("check", check)
        opened = open_signed(self._repo, ref, signed_by=signed_by)
        return predictor_of(opened, permitted, device, limit, check)

    def check_predictions(
        self, ref: str | Version, *, trust: Iterable[str] = (), classes: Mapping[str, Any] | None = None,
        device: Any = None, limit: int | str | None = None, signed_by: SignedBy = None,
    ) -> Predicted:  # fmt: skip
        """Load a version and let it answer its golden predictions, at the batch shape in which they were
        recorded: how many are identical, by how much others differ, and what is different here since then.
        Arguments and errors as in `predictor`."""
        return self.predictor(
            ref, trust=trust, classes=classes, device=device, limit=limit, signed_by=signed_by
        ).check()

    def schema(self, ref: str | Version) -> Schema:
        """What goes into a version and what comes out. Builds and imports nothing. Raises NotFoundError if it
        was saved without an example."""
        from saver.demanding import open_signed
        from saver.predicting.record import demand_record

        return demand_record(open_signed(self._repo, ref, demands=False)).schema


def recorded(obj: Any, example: Any, pipeline: Any, cluster: object = None) -> Recorded | None:
    """What a save records of its predictions; None without an example. Raises CannotSaveError."""
    if example is None:
        if pipeline is not None:
            raise ValueError("pipeline: it says how an example is predicted; pass example=, too")
        return None
    if cluster is not None:
        raise ValueError(
            "example: a save by several ranks records no predictions, since no rank has the whole model; "
            "save the gathered model with an example"
        )
    from saver.predicting.recording import record

    return record(obj, example, pipeline)


def together(encoded: Encoded, found: Recorded | None) -> Encoded:
    """What was encoded, together with its example."""
    if found is None:
        return encoded
    from saver.predicting.recording import with_example

    return with_example(encoded, found)


def checks(check: bool, parts: object, lazy: bool) -> bool:
    """Whether `load` checks the predictions. Raises for a load that is not whole."""
    arguments.flag("check_predictions", check)
    if check and (parts is not None or lazy):
        raise ValueError("check_predictions: pass neither parts nor lazy, since all that answers is needed")
    return check


def confirmed(opened: Opened, loaded: Any, trust: Iterable[str] | Allowed, check: bool) -> Any:
    """What was loaded, once it has answered its golden predictions as it did when it was saved."""
    if check:
        from saver.predicting.goldens import confirm
        from saver.predicting.record import demand_record

        confirm(opened, demand_record(opened), loaded, allowed(trust))
    return loaded
