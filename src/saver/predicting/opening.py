"""Predictors of versions and files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from saver import arguments, signed
from saver.errors import IncompatibleError
from saver.opened import Opened
from saver.opening import open_file
from saver.predicting import libraries
from saver.predicting.goldens import check_parts, demand_same
from saver.predicting.pipeline import answering, quickly
from saver.predicting.predictor import Predictor
from saver.predicting.quick import Quicker
from saver.predicting.record import Record, demand_record
from saver.repo.manifest import SOLE
from saver.signing.policy import SignedBy
from saver.streams import Source
from saver.trust import Allowed, allowed


def open_predictor(
    path: Source, *, trust: Iterable[str] = (), classes: Mapping[str, Any] | None = None, device: Any = None,
    limit: int | str | None = None, key: Any = None, signed_by: SignedBy = None, check: bool = False,
) -> Predictor:  # fmt: skip
    """The predictor of a file. Arguments and errors are those of `saver.load`; NotFoundError, too, if it has
    no schema, and, with `check`, PredictionsDifferError."""
    permitted = arguments.loading(trust, classes, limit)
    arguments.flag("check", check)
    opened = signed.demand_file(open_file(path, key=key), signed_by)
    return predictor_of(opened, permitted, device, limit, check)


def predictor_of(
    opened: Opened, trust: Iterable[str] | Allowed = (), device: Any = None, limit: int | str | None = None,
    check: bool = False,
) -> Predictor:  # fmt: skip
    """The predictor of an opened version or file. Loads the parts that its pipeline needs, and no others."""
    trusted, record = allowed(trust), demand_record(opened)
    how = record.call(trusted)
    parts = _loaded(opened, record, trusted, device, limit)
    for part in parts.values():
        libraries.settle(part)
    answer = answering(how, parts, opened.where, IncompatibleError)

    def quick() -> Quicker | None:
        found = quickly(how, parts, opened.where)
        return Quicker(found, answer, lambda: record.inputs(trusted)) if found is not None else None

    predictor = Predictor(
        record.schema, answer, opened.where, lambda: check_parts(opened, record, parts, trusted), opened.hash,
        quick,
    )  # fmt: skip
    if check:
        demand_same(predictor.check())
    return predictor


def _loaded(
    opened: Opened, record: Record, trusted: Allowed, device: Any, limit: int | str | None
) -> Mapping[str, Any]:
    if not opened.manifest.whole:
        return {SOLE: opened.load(trusted, device=device, limit=limit)}
    found: Mapping[str, Any] = opened.load(trusted, record.parts, device=device, limit=limit)
    return found
