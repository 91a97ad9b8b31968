"""What a server says of itself: its models as a document, and its numbers."""

from __future__ import annotations

from collections.abc import Iterable

from saver import documents
from saver.schema import Field
from saver.serve.metrics import Labels
from saver.serve.predicting import schema_of
from saver.serve.served import Served


def serving(models: Iterable[Served], address: str = "", grpc: str = "") -> documents.Serving:
    """What answers now, and where."""
    return documents.Serving(address=address, grpc=grpc, models=tuple(map(_model, models)))


def _model(served: Served) -> documents.ServedModel:
    schema = schema_of(served.current) if served.current is not None else None
    return documents.ServedModel(
        name=served.name, ref=served.ref, trouble=served.trouble, versions=tuple(_versions(served)),
        inputs=tuple(map(_line, schema.inputs)) if schema is not None else (),
        outputs=tuple(map(_line, schema.outputs)) if schema is not None else (),
    )  # fmt: skip


def _line(field: Field) -> str:
    return f"{field.name}: {field.text()}"


def _versions(served: Served) -> Iterable[documents.ServedVersion]:
    states = {
        "current": served.current, "canary": served.canary, "shadow": served.shadow,
        "previous": served.previous,
    }  # fmt: skip
    share = {"canary": served.percent, "current": 100 - served.percent}
    for state, each in states.items():
        if each is not None:
            yield documents.ServedVersion(
                number=each.number, state=state, percent=share.get(state, 0.0), workers=len(each.workers),
                queue_rows=each.queue.rows,
            )  # fmt: skip


def gauges(models: Iterable[Served], requests: int, bodies: int) -> dict[tuple[str, Labels], float]:
    """What is measured at this moment."""
    found: dict[tuple[str, Labels], float] = {
        ("saver_requests_now", ()): requests,
        ("saver_bodies_bytes", ()): bodies,
    }
    for served in models:
        for each in served.generations():
            labels = (("model", served.name), ("version", str(each.number)))
            found["saver_workers", labels] = len(each.workers)
            found["saver_queue_rows", labels] = each.queue.rows
    return found
