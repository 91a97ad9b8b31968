"""How a run is listened to in a script that is rehearsed: by what the environment says, and nothing else."""

from __future__ import annotations

import os

import msgspec

from saver.checkpoints import Checkpoints
from saver.rehearsal import recording, reporting


def attend(run: Checkpoints) -> None:
    """Have done to a run what the rehearsal that started this process asks for.

    Raises msgspec.DecodeError for what asks for nothing, and OSError when the file cannot be opened.
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
