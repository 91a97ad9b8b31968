"""`saver rehearse`: real signals to real training scripts, and what it says of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from running import document_of, error_of, run, text_in_a_terminal

import saver
from saver.rehearsal.outcome import Ended, Plan, Rehearsal, has_continued, outcome, ready
from saver.rehearsal.reporting import RunEvent, read

SCRIPT = """
import os, signal, subprocess, sys, time
import numpy as np
import saver
from saver import Every, OnSignal

EVERY, SECONDS = {every}, {seconds}
objects = {{"weights": np.zeros(1000)}}

def before(step): time.sleep(SECONDS)
def at(run): return run.resume()
def begin(): pass

{lines}

begin()
with saver.Saver("models").checkpoints("run-7", objects, every=EVERY) as run:
    for step in range(at(run), 10**6):
        before(step)
        objects["weights"] += 1
        run.step(step, loss=1.0)
"""


def script(every: str = "Every(steps=10) | OnSignal()", seconds: float = 0.005, lines: str = "") -> list[str]:
    """Writes a training script; the command that starts it."""
    Path("train.py").write_text(SCRIPT.format(every=every, seconds=seconds, lines=lines))
    return ["--", sys.executable, "train.py"]


def facts(done: Result) -> dict[str, str]:
    """The report, by what each line is about."""
    found = re.findall(r"^  (\w+(?: \w+)?) {2,}(.+)$", done.stdout, re.MULTILINE)
    return dict(found)


def document(*arguments: str) -> tuple[int, Any]:
    done = run("rehearse", "--json", *arguments)
    document_of(done)
    return done.exit_code, json.loads(done.stdout)


def test_a_run_that_saves_on_signals_loses_nothing() -> None:
    done = run("rehearse", *script())
    assert done.exit_code == 0, done.output
    reported = facts(done)
    assert reported["run"] == "run-7"
    step = int(reported["last step"])
    versions = saver.Saver("models").versions("run-7")
    (ref,) = [str(version) for version in versions if version.step == step]
    assert re.fullmatch(r"SIGTERM, after step \d+", reported["signal"])
    assert re.fullmatch(r"[\d.]+ s after the signal, by SIGTERM", reported["ended"])
    assert re.fullmatch(rf"{ref}, step {step}; on disk [\d.]+ s after the signal", reported["saved"])
    assert re.fullmatch(
        rf"from {ref}, step {step}; finished a step [\d.]+ s after its start", reported["resumed"]
    )
    assert reported["lost"] == "nothing"
    assert "What to do" not in done.stdout
    assert done.stderr == ""


def test_one_that_does_not_catch_the_signal_loses_steps() -> None:
    done = run("rehearse", *script("Every(steps=10)"))
    assert done.exit_code == 1
    reported = facts(done)
    last, (first, ref) = int(reported["last step"]), reported["resumed"].split(",")[0].rsplit(" ", 1)
    assert first == "from"
    kept = saver.Saver("models").version(ref).step
    assert kept is not None
    lost = f"{last - kept} steps: {kept + 1} to {last}" if last - kept > 1 else f"1 step: {last}"
    assert reported["lost"] == lost
    before = f"nothing after the signal; the newest version was {ref}, step {kept}"
    assert re.fullmatch(rf"{before}|{ref}, step {kept}; on disk [\d.]+ s after the signal", reported["saved"])
    assert "add OnSignal() to its `every`" in done.stdout
    assert done.stderr == f"error: run-7 lost {lost}\n"


@pytest.mark.slow
@pytest.mark.parametrize("ends", [False, True])
def test_one_that_ignores_the_signal_and_saves_by_the_way_did_not_hear_it(ends: bool) -> None:
    """Whether it has SIGKILL end it, or happens to come to its end before."""
    lines = "heard = []\nsignal.signal(signal.SIGTERM, lambda *_: heard.append(time.monotonic()))\n"
    lines += "def before(step):\n    time.sleep(SECONDS)\n"
    end = "os._exit(0)" if ends else "time.sleep(60)"
    lines += f"    if heard and time.monotonic() > heard[0] + 0.3 and step % 7 == 5: {end}\n"
    done = run("rehearse", "--grace", "60" if ends else "1.5", *script("Every(steps=7)", lines=lines))
    assert done.exit_code == 1
    assert "The run did not receive SIGTERM: add OnSignal()" in done.stdout
    assert "It continued after it had saved" not in done.stdout


@pytest.mark.slow
def test_the_signal_may_go_to_all_processes() -> None:
    """A child that dies of it, as a loader's worker does, takes the step with it unless that is off."""
    worker = "child = subprocess.Popen([sys.executable, '-c', {!r}])\n"
    worker += "def before(step):\n    time.sleep(SECONDS)\n    assert child.poll() is None\n"
    stays = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    goes = "import time; time.sleep(60)"
    late = "    if step == 0: time.sleep(0.5)\n"  # until the child is that far
    good, found = document("--group", *script(lines=worker.format(stays) + late))
    assert (good, found["steps_lost"]) == (0, 0)
    bad, found = document("--group", *script("Every(steps=10)", lines=worker.format(goes)))
    assert bad == 1


@pytest.mark.slow
def test_a_step_that_is_longer_than_the_grace_period_costs_what_was_not_saved() -> None:
    lines = "def before(step): time.sleep(600 if step == 3 and not os.path.exists('again') else 0.01)\n"
    lines += "begin = lambda: open('again', 'w') if os.path.exists('models') else None"
    code, found = document("--grace", "2", *script("Every(steps=2) | OnSignal()", lines=lines))
    assert code == 1
    assert (found["good"], found["steps_lost"], found["last_step"], found["step_at_signal"]) == (
        False,
        1,
        2,
        2,
    )
    assert found["ended"]["status"] == "SIGKILL"
    assert found["ended"]["within_grace"] is False
    assert found["ended"]["seconds"] >= 2
    assert (found["saved"]["ref"], found["saved"]["step"]) == ("run-7@1", 1)
    assert (found["resumed"]["ref"], found["resumed"]["step"]) == ("run-7@1", 1)
    assert found["noticed_seconds"] > 0


def test_a_run_that_does_not_resume_is_reported_with_how_to() -> None:
    done = run("rehearse", *script(lines="at = lambda run: 0"))
    assert done.exit_code == 1
    assert facts(done)["resumed"] == "no: it started from the beginning"
    assert "range(run.resume(), ...)" in done.stdout
    assert re.fullmatch(r"error: run-7 did not resume: it lost \d+ steps: 0 to \d+\n", done.stderr)


def test_a_script_that_cannot_start_again_is_a_finding() -> None:
    lines = "begin = lambda: sys.exit('no room for two') if os.path.exists('models') else None"
    done = run("rehearse", *script(lines=lines))
    assert done.exit_code == 1
    reported = facts(done)["resumed"]
    assert reported == (
        "no: the script ended (exit code 1) before it had taken a step; its last output: no room for two"
    )


@pytest.mark.slow
def test_after_a_signal_that_does_not_end_it_sigkill_does() -> None:
    code, found = document("--signal", "usr1", "--grace", "0.4", "--after", "0", *script("OnSignal()", 0.05))
    assert code == 1
    assert (found["signal"], found["ended"]["status"]) == ("SIGUSR1", "SIGKILL")
    assert found["saved"]["step"] == found["last_step"] - found["steps_lost"]
    assert found["saved"]["seconds"] > 0
    assert found["steps_lost"] >= 1, "it went on"


def test_the_signal_may_be_sent_when_nothing_was_saved_yet() -> None:
    code, found = document("--after", "0.1", *script("OnSignal()"))
    assert (code, found["good"], found["steps_lost"]) == (0, True, 0)
    assert found["saved"]["ref"] == "run-7@1"
    assert found["step_at_signal"] >= 1


@pytest.mark.slow
def test_the_signal_may_be_sent_after_some_saves() -> None:
    code, found = document("--after-saves", "3", *script())
    assert code == 0
    assert int(found["saved"]["ref"].rpartition("@")[2]) >= 4
    assert found["step_at_signal"] >= 30


def test_a_run_that_was_over_had_no_step_left_to_take() -> None:
    lines = "at = lambda run: run.resume() if not os.path.exists('over') else (run.resume(), 10**6)[1]\n"
    lines += "begin = lambda: open('over', 'w') if os.path.exists('models') else None"
    done = run("rehearse", *script(lines=lines))
    assert done.exit_code == 0, done.output
    assert facts(done)["resumed"].endswith("no steps were left")


def test_nothing_that_the_script_started_is_left() -> None:
    lines = """
def begin():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open("children", "a") as file:
        print(child.pid, file=file)
"""
    assert run("rehearse", *script(lines=lines)).exit_code == 0
    children = [int(line) for line in Path("children").read_text().split()]
    assert len(children) == 2
    end = time.monotonic() + 10  # a signal that was sent takes its time to arrive
    while any(map(alive, children)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(alive, children))


def alive(process: int) -> bool:
    """Whether a process runs; one that ended, and that nobody asked about yet, does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_ends_the_rehearsal_ends_the_script(number: int) -> None:
    lines = "begin = lambda: print(os.getpid(), file=open('process', 'w'), flush=True)"
    command = script("OnSignal()", lines=lines)
    process = subprocess.Popen(
        [sys.executable, "-m", "saver", "rehearse", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while not (Path("process").exists() and Path("process").read_text()) and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(number)
        assert process.communicate(timeout=60) == (b"", b"interrupted\n")
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert not alive(int(Path("process").read_text()))


@pytest.mark.slow
def test_a_terminal_shows_the_same() -> None:
    shown = text_in_a_terminal("rehearse", *script())
    assert re.search(r"saved +run-7@\d+, step \d+; on disk", shown)
    assert re.search(r"lost +nothing", shown)


# Misuse, and what keeps it from its work


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--after", "1", "--after-saves", "1", "--", "true"),
        ("--signal", "NONE", "--", "true"),
        ("--grace", "nan", "--", "true"),
        ("--grace", "-1", "--", "true"),
        ("--after-saves", "0", "--", "true"),
        ("--patience", "inf", "--", "true"),
    ],
    ids=" ".join,
)
def test_misuse_is_reported(arguments: Sequence[str]) -> None:
    done = run("rehearse", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "rehearse" in done.stderr


def test_a_command_that_is_not_there_is_reported() -> None:
    assert (
        error_of(run("rehearse", "--", "no-such-program"))
        == "error: no-such-program: No such file or directory\n"
    )


def test_a_script_that_ends_too_early_is_reported_with_its_last_words() -> None:
    assert error_of(run("rehearse", "--", sys.executable, "-c", "print('a'); print('bye')")) == (
        "error: the script ended (exit code 0) before it had saved and continued; its last output: bye\n"
    )
    killed = "import os; os.kill(os.getpid(), 9)"
    assert error_of(run("rehearse", "--", sys.executable, "-c", killed)) == (
        "error: the script ended (SIGKILL) before it had saved and continued; it had no output\n"
    )


def test_a_script_that_enters_no_run_is_reported_after_a_while() -> None:
    reported = error_of(
        run("rehearse", "--patience", "0.2", "--", sys.executable, "-c", "import time; time.sleep(60)")
    )
    assert "0.2 s passed before it had saved and continued; it has not entered a run" in reported


@pytest.mark.slow
def test_a_run_that_never_saves_is_reported_with_how_to_go_without() -> None:
    line = json.dumps({"kind": "step", "at": 1.0, "process": 1, "run": "run", "step": 3})
    never = f"echo '{line}' >> $SAVER_REHEARSAL; sleep 60"
    assert "with --after SECONDS" in error_of(run("rehearse", "--patience", "1", "--", "sh", "-c", never))


def test_what_a_script_prints_steers_no_terminal() -> None:
    reported = error_of(run("rehearse", "--", sys.executable, "-c", r"print('\x1b]0;owned\x07')"))
    assert r"\x1b]0;owned\x07" in reported


# What is decided, and when


def reported(kind: Any, at: float, step: int = -1, run: str = "run", ref: str = "") -> RunEvent:
    return RunEvent(kind=kind, at=at, process=1, run=run, step=step, ref=ref)


PLAN = Plan(("train",), signal.SIGTERM, 30.0, None, 1, 60.0)
BEFORE = [
    reported("started", 0),
    reported("step", 1, 0),
    reported("saved", 2, 0, ref="run@1"),
    reported("step", 3, 1),
]
ENDED = Ended(1.0, "SIGTERM", True)


def come_of(first: Sequence[RunEvent], second: Sequence[RunEvent], problem: str = "") -> Rehearsal:
    return outcome(PLAN, "run", first, 3.5, ENDED, second, 10.0, problem)


def test_it_is_time_for_the_signal_when_there_is_something_to_lose() -> None:
    assert [ready(BEFORE[:count], PLAN) for count in range(5)] == [None, None, None, None, "run"]
    twice = [*BEFORE, reported("saved", 4, 1), reported("step", 5, 2)]
    assert ready(BEFORE, PLAN._replace(saves=2)) is None
    assert ready(twice, PLAN._replace(saves=2)) == "run"
    now = time.monotonic()
    assert ready([reported("step", now - 5, 0)], PLAN._replace(after=4.0)) == "run"
    assert ready([reported("step", now - 5, 0)], PLAN._replace(after=60.0)) is None


def test_other_runs_of_the_script_do_not_count() -> None:
    other = [reported("step", 0.5, 70, "warm-up"), reported("saved", 0.6, 70, "warm-up", "warm-up@1")]
    again = [reported("resumed", 11, 1, ref="run@2"), reported("step", 12, 2)]
    saved = reported("saved", 4, 1, ref="run@2")
    assert come_of([*other, *BEFORE, saved], [*other, *again]) == come_of([*BEFORE, saved], again)
    assert come_of([*other, *BEFORE, saved], [*other, *again]).good
    assert has_continued(other, "run") is None


def test_a_step_that_was_finished_after_the_signal_counts_as_finished() -> None:
    found = come_of(
        [*BEFORE, reported("signal", 3.6, 1), reported("step", 4, 2)],
        [reported("resumed", 11, 1), reported("step", 12, 2)],
    )
    assert (found.step_at_signal, found.last_step, found.steps_lost) == (1, 2, 1)


def test_a_step_too_quick_to_be_reported_is_known_from_the_signal() -> None:
    found = come_of(
        [*BEFORE, reported("signal", 3.6, 5)],
        [reported("resumed", 11, 0, ref="run@1"), reported("step", 12, 1)],
    )
    assert (found.last_step, found.steps_lost) == (5, 5)
    assert found.saved is not None
    assert found.saved.seconds < 0


def test_a_save_that_a_dying_process_could_not_report_is_known_from_the_resume() -> None:
    found = come_of(BEFORE, [reported("resumed", 11, 1, ref="run@2"), reported("step", 12, 2)])
    assert found.saved is not None
    assert (found.saved.ref, found.saved.seconds, found.steps_lost) == ("run@2", ENDED.seconds, 0)


def test_a_resume_after_the_first_step_is_not_a_resume() -> None:
    found = come_of(BEFORE, [reported("step", 11, 0), reported("resumed", 12, 1)])
    assert (found.resumed, found.steps_lost, found.good) == (None, 2, False)


def test_a_line_that_is_being_written_is_not_read() -> None:
    line = b'{"kind":"step","at":1.5,"process":7,"run":"run","step":3}\n'
    assert read(line + line[:20]) == [RunEvent(kind="step", at=1.5, process=7, run="run", step=3)]


def test_without_the_variable_a_run_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported = tmp_path / "reported"
    for name in ("", str(reported)):
        monkeypatch.setenv("SAVER_REHEARSAL", name)
        with saver.Saver(f"memory://reported{bool(name)}").checkpoints(
            "run", {"x": {"y": 1}}, every=saver.Every(steps=2)
        ) as run:
            run.step(0)
            run.step(1)
        assert reported.exists() == bool(name)
    kinds = [(event.kind, event.step, event.ref) for event in read(reported.read_bytes())]
    assert sorted(kinds) == sorted(
        [("started", -1, ""), ("step", 0, ""), ("step", 1, ""), ("saved", 1, "run@1"), ("ended", 1, "")]
    )
    assert {event.process for event in read(reported.read_bytes())} == {os.getpid()}
