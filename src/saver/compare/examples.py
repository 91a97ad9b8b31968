"""Differences between what goes into two models and what comes out."""

from __future__ import annotations

from saver.compare.circumstances import fields_that_differ
from saver.compare.difference import Field
from saver.errors import printable
from saver.opened import Opened
from saver.predicting.record import record_of
from saver.repo.manifest import EXAMPLE


def examples(old: Opened, new: Opened) -> tuple[Field, ...]:
    """Inputs and outputs, the pipeline, the tolerance, and whether the golden predictions are others."""
    return fields_that_differ(_told(old), _told(new))


def _told(opened: Opened) -> dict[str, str | None]:
    record = record_of(opened)
    if record is None:
        return {}
    found: dict[str, str | None] = {
        "pipeline": printable(record.pipeline),
        "tolerance": record.tolerance.text(),
        "golden predictions": f"{record.rows:,} rows, {opened.written.parts[EXAMPLE].hash[:12]}",
        "container": f"{record.schema.container} of {printable(record.schema.library)}",
    }
    for kind, fields in (("input", record.schema.inputs), ("output", record.schema.outputs)):
        for each in fields:
            categories = f", one of {len(each.categories):,}: {each.seen_text()}" if each.categories else ""
            found[f"{kind} {printable(each.name)}"] = printable(f"{each.text()}{categories}")
    return found
