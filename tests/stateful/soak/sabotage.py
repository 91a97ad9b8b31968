"""Breaks what is below `state/`, as disks and people do: it must never matter."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from tests.stateful.soak.journal import Workspace


def sabotage(workspace: Workspace, chance: random.Random) -> str:
    """Break something, and say what was done."""
    state = workspace.store / "state"
    files = sorted(path for path in state.rglob("*.json") if path.is_file())
    if not files:
        return "nothing"
    path, other = chance.choice(files), chance.choice(files)
    what = chance.choices(
        ["removed", "flipped", "cut", "swapped", "all removed", "copied", "put back"], [9, 9, 9, 9, 1, 2, 2]
    )[0]
    try:
        _do(what, workspace, path, other, chance)
    except (FileNotFoundError, shutil.Error):  # a collector was faster
        return "nothing"
    return what


def _do(what: str, workspace: Workspace, path: Path, other: Path, chance: random.Random) -> None:
    state, copied = workspace.store / "state", workspace.folder / "state-before"
    match what:
        case "removed":
            path.unlink()
        case "flipped":
            data = bytearray(path.read_bytes())
            if data:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            path.write_bytes(data)
        case "cut":
            path.write_bytes(path.read_bytes()[: chance.randrange(200)])
        case "swapped":
            path.write_bytes(other.read_bytes())
        case "all removed":
            shutil.rmtree(state, ignore_errors=True)
        case "copied":
            shutil.rmtree(copied, ignore_errors=True)
            shutil.copytree(state, copied)
        case "put back" if copied.exists():
            shutil.copytree(copied, state, dirs_exist_ok=True)
