"""Runs what opens pages in Chromium (`browse.py`, `browse_charts.py`), or skips a test for which this machine
lacks something: Playwright may be in another environment, whose Python $SAVER_PLAYWRIGHT names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest


def axe() -> str:
    """The path of axe-core; "" where it is missing."""
    folders = [Path(each) for each in os.environ.get("NODE_PATH", "").split(os.pathsep) if each]
    found = [each / "axe-core" / "axe.min.js" for each in folders]
    return next((str(each) for each in found if each.is_file()), "")


def found_by(program: str, address: str, pages: dict[str, str], **given: Any) -> dict[str, Any]:
    """What a program beside this one finds on the pages of an address, in Chromium."""
    python = os.environ.get("SAVER_PLAYWRIGHT") or (sys.executable if find_spec("playwright") else "")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not python or not chromium:
        pytest.skip("Playwright, here or in the environment of $SAVER_PLAYWRIGHT, or chromium is missing")
    order = {"address": address, "chromium": chromium, "pages": pages, "axe": axe(), "pictures": "", **given}
    command = [python, str(Path(__file__).with_name(program)), json.dumps(order)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def browse(address: str, pages: dict[str, str], **given: Any) -> dict[str, Any]:
    """What `browse.py` finds there."""
    return found_by("browse.py", address, pages, **{"act": False, "once": False, **given})
