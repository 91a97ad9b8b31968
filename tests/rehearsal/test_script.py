"""A script in another process ends with the rehearsal, at whatever instant a signal arrives."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from saver.rehearsal import script as scripts
from saver.rehearsal.script import Script, ended_like_by_ctrl_c

FILES = (subprocess.__file__, scripts.__file__)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals to other processes")


def rehearsed(folder: Path, time: int, number: int) -> tuple[bool, bool, subprocess.Popen[bytes] | None]:
    """Starts a script, looks at it twice and ends it; before line number `time` of that, a signal arrives.
    Returns whether there was such a line, whether it ended what was going on, and the process."""
    left = time

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in FILES or frame.f_code.co_name in UNTRACED:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                signal.raise_signal(number)
        return trace

    subject = Script(["sleep", "60"], folder)
    interrupted = False
    with ended_like_by_ctrl_c():
        try:
            sys.settrace(trace)
            with subject as script:
                script.end(0.001)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            sys.settrace(None)
    return left <= 0, interrupted, subject._process


UNTRACED = {"__init__", "ended_like_by_ctrl_c", "__del__"}
"""What runs before or after; a finalizer loses exceptions."""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_any_instant_ends_the_script_too(number: int, tmp_path: Path) -> None:
    for time in itertools.count(1):
        reached, interrupted, process = rehearsed(tmp_path / str(time), time, number)
        assert interrupted == reached, time
        assert process is None or process.returncode is not None, time
        if not reached:
            break
    assert time > 30
