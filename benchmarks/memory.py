"""How much memory a save takes in addition to the state: each in a new process."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import remove
from benchmarks.peers import peers
from benchmarks.states import TENSORS, Shape, size_of
from saver import CannotSaveError

REFUSED = "not supported"
HOME = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes of the state, and the bytes by which the process grew while it saved."""

    what: str
    state: int
    growth: int


def run(folder: Path, factor: int) -> list[Peak]:
    """The peak of every tool, for 1 GB in some 200 tensors."""
    measured = {peer.name: measure(peer.name, folder, factor) for peer in peers()}
    return [Peak(what, *found) for what, found in measured.items() if found is not None]


def measure(name: str, folder: Path, factor: int) -> tuple[int, int] | None:
    """Bytes of the state and of the growth, measured in a new process; None if that is not supported."""
    command = (sys.executable, "-m", "benchmarks.memory", name, str(folder), str(factor))
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HOME)
    if done.returncode:
        raise RuntimeError(f"measuring the memory of {name} failed:\n{done.stderr}")
    if done.stdout.strip() == REFUSED:
        return None
    state, growth = map(int, done.stdout.split())
    return state, growth


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def _measure(name: str, folder: Path, factor: int) -> tuple[int, int]:
    """Save once with a tiny state, so that all modules are loaded, then with the real one.

    The peak is VmHWM, reset before the save: `ru_maxrss` would also count the parent's.
    """
    peer = next(peer for peer in peers() if peer.name == name)
    path = folder / "memory"
    for shape in (Shape("many", "", 32 << 20, 10), TENSORS.smaller(factor)):
        state = peer.state(shape.arrays())
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        peer.save(state, path)
        growth = _status("VmHWM") - before
        remove(path)
    return size_of(state), growth


def plain(peaks: list[Peak]) -> str:
    """For the terminal."""
    width = max(len(peak.what) for peak in peaks)
    lines = [f"{peak.what.ljust(width)}  {peak.growth / 1e6:10.1f} MB" for peak in peaks]
    return "\n".join((_TITLE, _ABOUT.format(peaks[0].state / 1e9), "", *lines, ""))


def markdown(peaks: list[Peak]) -> str:
    """For RESULTS.md."""
    lines = [f"| {peak.what} | {peak.growth / 1e6:.1f} | {peak.growth / peak.state:.2f} |" for peak in peaks]
    head = ("| | MB | of the state |", "| --- | ---: | ---: |")
    return "\n".join((f"### {_TITLE}", "", _ABOUT.format(peaks[0].state / 1e9), "", *head, *lines, ""))


_TITLE = "Memory of a save"
_ABOUT = (
    "Growth of the process's peak resident memory (VmHWM) while it saves a state of {:.2f} GB, without "
    "the page cache, which buffered writers fill."
)


if __name__ == "__main__":
    try:
        print(*_measure(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
    except CannotSaveError:
        print(REFUSED)
