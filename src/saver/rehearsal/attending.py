"""Adds the listeners of a rehearsal to a run, if environment variables request them, and only then."""

from __future__ import annotations

import os

import msgspec

from saver.checkpoints import Checkpoints
from saver.rehearsal import recording, reporting


def attend(run: Checkpoints) -> None:
    """Add the listeners that the rehearsal requests which started this process; none without a rehearsal.

    Raises msgspec.DecodeError if the request cannot be decoded, and OSError if the file of the reports cannot
    be opened.
    """
    path = os.environ.get(reporting.VARIABLE)
    if not path:
        return
    reporter = reporting.Reporter(run.model, path)
    run.listen(reporter)
    text = os.environ.get(recording.VARIABLE)
    asked = msgspec.json.decode(text, type=recording.Asked) if text else None
    if asked is not None and asked.run in ("", run.model):
        run.listen(recording.Recording(run, asked, reporter))
