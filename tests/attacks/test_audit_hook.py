"""What the interpreter itself reports while files are loaded: nothing runs, and audit comes before import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from forge import forged, node
from samples import SAMPLES

import saver

RUNS = ("pickle.find_class", "exec", "compile", "marshal.loads", "marshal.load", "import", "subprocess.Popen",
        "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "ctypes.dlopen", "socket.connect",
        "os.remove", "os.rename", "os.mkdir", "os.link", "os.truncate", "shutil.rmtree",
        "setopencodehook")  # fmt: skip

WARM = f"""
import json, os, sys, warnings
warnings.simplefilter("ignore")
import saver
paths = sys.argv[1:]
def load_all():
    for path in paths:
        saver.load(path)
        dict(saver.load(path, lazy=True))
load_all()
seen = []
def watch(event, arguments):
    if event in {RUNS!r}:
        seen.append(f"{{event}} {{arguments!r:.200}}")
    elif event == "open":
        path, mode, flags = arguments
        named = isinstance(mode, str) and set(mode) & set("wax+")
        if named or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            seen.append(f"{{event}} {{arguments!r:.200}}")
sys.addaudithook(watch)
load_all()
found = list(seen)
print(json.dumps(found))
"""

COLD = """
import json, sys
import saver, saver.file
from saver import trust
events, audited = [], []
def watch(event, arguments):
    if event in ("import", "exec", "compile", "marshal.loads", "pickle.find_class"):
        events.append([event, str(arguments[0])[:80], bool(audited)])
honest = trust.audit
def audit(*arguments):
    honest(*arguments)
    audited.append(True)
trust.audit = audit
sys.addaudithook(watch)
try:
    saver.load(sys.argv[1], lazy=sys.argv[2] == "lazy")
    outcome = "loaded"
except saver.SaverError as error:
    outcome = error.code
print(json.dumps([outcome, [*events]]))
"""


LISTS = "saver.families."
"""Saver's own lists of what was reviewed, which an audit reads: they are the same whatever a file says."""


def run(program: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_warm_load_runs_imports_and_writes_nothing(tmp_path: Path) -> None:
    paths = []
    for number, (name, make) in enumerate(SAMPLES.items()):
        path = tmp_path / f"{number}.saver"
        saver.dump({name: make()}, path)
        paths.append(str(path))
    assert run(WARM, *paths) == []


def test_the_hook_sees_what_it_should() -> None:
    """The test above can fail: a pickle loaded in the same place is noticed."""
    program = WARM.replace(
        "found = list(seen)", "import pickle; pickle.loads(pickle.dumps(dict)); found = list(seen)"
    )
    assert any(event.startswith("pickle.find_class") for event in run(program))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["lazy", "whole"])
@pytest.mark.parametrize("name", ["antigravity:fly", "os:system", "ftplib:FTP"])
def test_an_untrusted_name_makes_no_import_event_in_a_cold_process(
    name: str, how: str, tmp_path: Path
) -> None:
    file = forged(tmp_path, [1])
    file.tree = node("list", [node("stdlib.deque", [None, []]), node("function", cls=name)])
    outcome, events = run(COLD, str(file.write(tmp_path / "bad.saver")), how)
    assert outcome == "untrusted"
    assert [name for event, name, _ in events if event == "import" and not name.startswith(LISTS)] == []


@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES)
def test_in_a_cold_process_the_first_import_follows_the_audit(sample: str, tmp_path: Path) -> None:
    path = tmp_path / "good.saver"
    saver.dump(SAMPLES[sample](), path)
    outcome, events = run(COLD, str(path), "whole")
    assert outcome == "loaded"
    imports = [(name, after) for event, name, after in events if event == "import"]
    assert any(after for _, after in imports), "the codecs themselves are imported when they are needed"
    assert [name for name, after in imports if not after and not name.startswith(LISTS)] == []
    assert [event for event in events if event[0] == "pickle.find_class"] == []
