"""Ends a training script as a scheduler would, and starts it again."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path

from saver.rehearsal.outcome import Ended, Plan, Rehearsal, has_continued, outcome, ready
from saver.rehearsal.script import RehearsalError, Script, Waiting, ended_like_by_ctrl_c

ENDING_GRACE = 5.0
"""Seconds in which the second start may end by itself; what it saves then does not matter."""

WITHOUT_A_SAVE = (
    "send the signal without waiting for a save with --after SECONDS, or wait longer with --patience"
)


def rehearse(plan: Plan, waiting: Waiting) -> Rehearsal:
    """Start the script, send it the signal, SIGKILL after the grace period, and start it again. Raises
    RehearsalError if it never reaches the point where the signal would be sent.
    """
    if sys.platform == "win32":
        raise RehearsalError(
            "Windows has no signal that asks another process to end, so there is nothing to rehearse; "
            "compare a resume with the steps that it repeats: --prove STEPS"
        )
    with ended_like_by_ctrl_c(), tempfile.TemporaryDirectory(prefix="saver-rehearse-") as folder:
        with Script(plan.command, Path(folder) / "1") as first:
            with waiting("Waiting until it has saved" if plan.after is None else "Waiting until it trains"):
                run = first.wait_for(
                    "it had saved and continued",
                    lambda events: ready(events, plan),
                    plan.patience,
                    WITHOUT_A_SAVE,
                )
            with waiting("Waiting until it has ended"):
                sent = time.monotonic()
                first.send(plan.number, plan.group)
                within = first.end(plan.grace)
                seconds = time.monotonic() - sent
        ended = Ended(seconds, first.status, within)
        with Script(plan.command, Path(folder) / "2") as second, waiting("Waiting until it has resumed"):
            problem = _begin_again(second, plan, run)
    return outcome(plan, run, first.events, sent, ended, second.events, second.began, problem)


def _begin_again(script: Script, plan: Plan, run: str) -> str:
    """Wait until it has resumed and taken a step, and end it; returns the problem if it did not, or ""."""
    try:
        script.wait_for("it had taken a step", lambda events: has_continued(events, run), plan.patience)
    except RehearsalError as error:
        return str(error)
    script.send(signal.SIGTERM)
    script.end(ENDING_GRACE)
    return ""
