"""`saver rehearse --prove`: the same steps in two processes, and what a script forgets between them."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from running import document_of, error_of, run, text_in_a_terminal

import saver
from saver.rehearsal import reporting
from saver.rehearsal.processes import chosen, other_steps, resumed_or_stepped, wrong_start
from saver.rehearsal.recording import Asked
from saver.rehearsal.reporting import RunEvent

SCRIPT = """
import os, random, sys, time
import numpy as np
import saver
from saver import Every, OnSignal

again = os.path.exists("models")
weights = np.zeros(1000)
objects = {{"weights": weights}}
warm = False

def at(run): return run.resume()
def before(step): pass
def after(run, step): pass
def reported(step): return {{"loss": float(np.abs(weights).mean())}}
def steps(start): return range(start, {total})

{lines}

with saver.Saver("models").checkpoints("run-7", objects, every={every}) as run:
    for step in steps(at(run)):
        before(step)
        weights *= 0.9
        weights += np.random.rand(1000) * random.random()
        run.step(step, **reported(step))
        after(run, step)
print("over")
"""


def script(lines: str = "", every: str = "Every(steps=10) | OnSignal()", total: int = 10**6) -> list[str]:
    """Writes a training script; the command that starts it."""
    Path("train.py").write_text(SCRIPT.format(lines=lines, every=every, total=total))
    return ["--", sys.executable, "train.py"]


def facts(done: Result) -> dict[str, str]:
    """The report, by what each line is about."""
    return dict(re.findall(r"^  (\w+) {2,}(.+)$", done.stdout, re.MULTILINE))


def document(steps: int, *arguments: str) -> tuple[int, Any]:
    done = run("rehearse", "--prove", str(steps), "--json", *arguments)
    document_of(done)
    return done.exit_code, json.loads(done.stdout)


def versions() -> list[tuple[int, int | None]]:
    return [(version.number, version.step) for version in saver.Saver("models").versions("run-7")]


@pytest.mark.slow
def test_a_run_with_all_that_it_needs_agrees_to_the_bit() -> None:
    done = run("rehearse", "--prove", "5", *script())
    assert done.exit_code == 0, done.output
    reported = facts(done)
    assert re.fullmatch(
        r"from run-7@1, step 9; finished a step [\d.]+ s after its start", reported.pop("resumed")
    )
    assert reported == {
        "run": "run-7", "version": "run-7@1, step 9", "trained": "steps 10 to 14",
        "compared": "all bits agree",
    }  # fmt: skip
    assert "What to do" not in done.stdout
    assert done.stderr == ""


FLAG = """
def before(step):
    global warm
    warm = warm or step == 5
    weights[:] *= 0.5 if warm else 1.0
"""


def test_a_flag_in_the_loop_is_noticed_that_a_proof_in_place_cannot_see() -> None:
    proves = """
import saver.rehearsal
def after(run, step):
    def train_step(step):
        before(step)
        weights[:] = 0.9 * weights + np.random.rand(1000)
    if step == 12 and not again:
        open("proof", "w").write(str(saver.rehearsal.prove(run, train_step, steps=5)))
"""
    done = run("rehearse", "--prove", "5", *script(FLAG + proves))
    assert Path("proof").read_text().endswith("all bits agree")
    assert done.exit_code == 1
    reported = facts(done)
    assert re.fullmatch(
        r"weights differs in 1,000 of 1,000 entries, by up to [\d.]+, and so do 5 more; "
        r"the reported numbers first differ at step 10",
        reported["compared"],
    )
    assert "a value of a process that also trained earlier steps" in done.stdout
    assert re.fullmatch(
        r"error: run-7 does not resume to the bit from run-7@1: weights differs in 1,000 of .+\n", done.stderr
    )


@pytest.mark.slow
def test_the_report_as_a_document_holds_the_proof() -> None:
    code, found = document(3, *script(FLAG))
    assert code == 1
    assert (found["good"], found["run"], found["ref"], found["step"]) == (False, "run-7", "run-7@1", 9)
    assert (found["steps_asked"], found["problem"]) == (3, "")
    assert (found["resumed"]["ref"], found["resumed"]["step"]) == ("run-7@1", 9)
    proof = found["proof"]
    assert (proof["start"], proof["last"], proof["steps"], proof["since"]) == (10, 12, 3, 10)
    assert (proof["first"]["path"], proof["first"]["amount"]["changed"]) == ("weights", 1000)
    code, found = document(3, *script())
    assert (code, found["good"], found["proof"]["differences"]) == (0, True, 0)


def test_a_generator_that_is_not_among_the_objects_is_noticed() -> None:
    lines = "rng = np.random.default_rng(0)\ndef before(step): weights[:] += rng.normal(size=1000)"
    code, found = document(2, *script(lines))
    assert (code, found["proof"]["first"]["path"]) == (1, "weights")


def test_with_the_generator_among_the_objects_it_agrees() -> None:
    lines = "rng = objects['rng'] = np.random.default_rng(0)\n"
    lines += "def before(step): weights[:] += rng.normal(size=1000)"
    assert document(2, *script(lines))[0] == 0


def test_an_object_that_a_process_does_without_is_noticed() -> None:
    code, found = document(2, *script("if not again: objects['extra'] = {'x': 1}"))
    assert code == 1
    assert found["proof"]["first"]["path"] == "extra"
    assert (found["proof"]["first"]["old"], found["proof"]["first"]["new"]) == (
        "among the objects",
        "missing",
    )


def test_a_generator_seeded_otherwise_by_each_process_is_noticed() -> None:
    lines = "def reported(step): return random.seed(os.getpid()) or {}"
    code, found = document(1, *script(lines))
    assert code == 1
    assert found["proof"]["first"]["path"].startswith("random/python")
    assert "seed it once" in found["advice"]


def test_a_metric_that_is_reported_differently_is_noticed() -> None:
    code, found = document(
        3, *script("def reported(step): return {'loss': np.nan, 'seen': -0.0 if again else 0.0}")
    )
    assert code == 1
    assert found["proof"]["first"] == {
        "path": "seen at step 10", "old": "0.0", "new": "-0.0", "amount": None,
    }  # fmt: skip
    assert found["proof"]["differences"] == 3
    assert found["advice"].startswith("The state agrees")


def test_an_object_that_training_has_replaced_shows_itself_in_what_is_reported() -> None:
    code, found = document(2, *script("objects = {'weights': weights}\nweights = weights + 1"))
    assert (code, found["proof"]["first"]["path"]) == (1, "loss at step 10")
    assert "change it in place" in found["advice"]


def test_an_epoch_that_begins_to_be_counted_again_is_noticed() -> None:
    lines = "start = 0\ndef at(run):\n    global start\n    start = run.resume()\n    return start\n"
    lines += "def reported(step): return {'epoch': (step - start) // 4}"
    code, found = document(2, *script(lines))
    assert (code, found["proof"]["first"]["path"], found["proof"]["differences"]) == (
        1,
        "epoch at step 10",
        2,
    )


# The version that is trained from


def test_nothing_is_saved_after_the_version_that_is_trained_from() -> None:
    lines = "def after(run, step): run.save() if step % 7 == 6 else None"
    code, found = document(30, *script(lines))
    assert (code, found["ref"], found["proof"]["last"]) == (0, "run-7@1", 36)
    assert versions() == [(1, 6)], "neither the policy nor the script saved another one"


def test_it_is_the_one_of_the_save_that_was_named() -> None:
    code, found = document(4, "--after-saves", "3", *script())
    assert (code, found["ref"], found["step"], found["proof"]["start"]) == (0, "run-7@3", 29, 30)
    assert versions() == [(1, 9), (2, 19), (3, 29)]


@pytest.mark.slow
def test_saves_are_counted_from_the_start_on() -> None:
    assert document(4, *script())[0] == 0
    code, found = document(4, *script())
    assert (code, found["ref"], found["step"]) == (0, "run-7@2", 19)


def test_a_run_that_saves_whenever_it_is_not_busy_is_proved_from_a_certain_step() -> None:
    code, found = document(3, "--after-saves", "2", *script(every="Every(steps=1), busy='skip'"))
    assert (code, found["ref"], found["step"]) == (0, "run-7@2", 1)


def test_other_runs_of_the_script_are_left_alone() -> None:
    lines = """
with saver.Saver("models").checkpoints("warm-up", {"x": {"y": 1}}, every=Every(steps=100)) as other:
    for step in range(other.resume(), 3): other.step(step)
    if not again: other.save()
"""
    code, found = document(2, "--after-saves", "2", *script(lines))
    assert (code, found["run"], found["ref"]) == (0, "run-7", "run-7@2")


def test_of_several_runs_at_once_the_first_that_comes_so_far_is_proved() -> None:
    lines = """
other = saver.Saver("models").checkpoints("inner", {"x": {"y": 1}}, every=Every(steps=100)).__enter__()
other.resume()
def after(run, step):
    for inner in range(10): other.step(10 * step + inner)
"""
    code, found = document(5, *script(lines))
    assert (code, found["run"], found["ref"], found["step"]) == (0, "inner", "inner@1", 99)
    assert versions() == [(1, 9)], "the other one, whose save came first"


# A training that is over too early


@pytest.mark.slow
def test_a_training_that_is_over_before_is_compared_at_its_end() -> None:
    done = run("rehearse", "--prove", "100", *script(total=14))
    assert done.exit_code == 0, done.output
    assert facts(done)["trained"] == "steps 10 to 13; the training ended there, after 4 of 100 steps"
    assert facts(done)["compared"] == "all bits agree"
    Path("models").rename("elsewhere")
    done = run("rehearse", "--prove", "100", *script(FLAG, total=14))
    assert done.exit_code == 1
    assert "after 4 of 100 steps" in facts(done)["trained"]
    assert facts(done)["compared"].startswith("weights differs in 1,000 of 1,000 entries")


def test_a_training_that_is_over_with_the_version_leaves_nothing_to_prove() -> None:
    assert error_of(run("rehearse", "--prove", "3", *script(total=10))) == (
        "error: the training of run-7 ended with run-7@1, so no step was left to prove; train "
        "longer, or save sooner\n"
    )


@pytest.mark.slow
def test_a_run_that_never_saves_is_reported() -> None:
    assert error_of(run("rehearse", "--prove", "3", *script(total=5))) == (
        "error: the script ended (exit code 0) before it had saved; its last output: over\n"
    )
    line = json.dumps({"kind": "step", "at": 1.0, "process": 1, "run": "run", "step": 3})
    never = f"echo '{line}' >> $SAVER_REHEARSAL; sleep 60"
    assert error_of(run("rehearse", "--patience", "1", "--prove", "3", "--", "sh", "-c", never)) == (
        "error: 1 s passed before it had saved; save sooner, or wait longer with --patience\n"
    )


def test_a_script_that_breaks_before_its_steps_are_done_is_reported() -> None:
    breaks = script("def before(step):\n    if step == 12: sys.exit('no luck')")
    assert error_of(run("rehearse", "--prove", "3", *breaks)) == (
        "error: the script ended (exit code 1) before it had trained 3 steps more; its last output: no luck\n"
    )


# A second start that does something else


def problem_of(*arguments: str) -> str:
    done = run("rehearse", "--prove", "3", *arguments)
    assert done.exit_code == 1, done.output
    assert "all bits agree" not in done.output
    return done.stdout + done.stderr


def test_a_run_that_does_not_resume_is_reported_with_how_to() -> None:
    reported = problem_of(*script("def at(run): return 0"))
    assert "  resumed  no: it started from the beginning\n" in reported
    assert "range(run.resume(), ...)" in reported
    assert reported.endswith("error: run-7 did not resume from run-7@1: it started from the beginning\n")


def test_why_a_run_cannot_begin_again_is_reported() -> None:
    reported = problem_of(*script("def at(run):\n    if again: run.save()\n    return run.resume()"))
    assert (
        "before it had resumed; its last output: saver.errors.CannotSaveError: run-7: run-7@1 of step 9"
        in reported
    )
    assert versions() == [(1, 9)]


def test_a_run_that_resumes_from_another_version_is_reported() -> None:
    lines = "if again: saver.Saver('models').delete('run-7@2')"
    reported = problem_of("--after-saves", "2", *script(lines))
    assert "  compared  nothing: it resumed from run-7@1, step 9\n" in reported
    assert "Make sure that nothing else saves or deletes versions of run-7" in reported


def test_a_run_that_leaves_steps_out_is_reported() -> None:
    reported = problem_of(*script("def at(run): return run.resume() + (5 if again else 0)"))
    assert "it trained steps 15 to 17, and steps 10 to 12 the first time" in reported


@pytest.mark.slow
def test_a_run_that_ends_earlier_the_second_time_is_reported() -> None:
    reported = problem_of(*script("def steps(start): return range(start, 12 if again else 10**6)"))
    assert "it trained steps 10 to 11, and steps 10 to 12 the first time" in reported
    Path("models").rename("elsewhere")
    reported = problem_of(*script("def steps(start): return () if again else range(10**6)"))
    assert "it trained no step, and steps 10 to 12 the first time" in reported


@pytest.mark.slow
def test_a_second_start_that_breaks_is_reported_with_its_last_words() -> None:
    reported = problem_of(*script("if again: sys.exit('no room for two')"))
    assert (
        "resumed  no: the script ended (exit code 1) before it had resumed; its last output: no room"
        in reported
    )
    Path("models").rename("elsewhere")
    reported = problem_of(*script("def before(step):\n    if again: sys.exit('no luck')"))
    assert (
        "compared  nothing: the script ended (exit code 1) before it had trained steps 10 to 12 again; "
        in reported
    )
    assert reported.endswith("its last output: no luck\n")


# Processes and files


def test_both_processes_are_killed_and_nothing_of_them_is_left(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lines = """
import atexit, subprocess
atexit.register(lambda: open("ended", "w"))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("processes", "a").write(f"{os.getpid()} {child.pid} ")
"""
    assert document(3, *script(lines))[0] == 0
    processes = [int(number) for number in Path("processes").read_text().split()]
    assert len(processes) == 4
    end = time.monotonic() + 10  # a signal that was sent takes its time to arrive
    while any(map(alive, processes)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(alive, processes))
    assert not Path("ended").exists()
    assert list(tmp_path.iterdir()) == []


def alive(process: int) -> bool:
    """Whether a process runs; one that ended, and that nobody asked about yet, does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_run_that_has_recorded_and_is_not_killed_ends_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    script("import saver.rehearsal.recording as recording\nrecording.LINGER = 0.0")
    asked = {reporting.VARIABLE: "reported", **Asked("state.saver", 2, 1).variables()}
    for name, text in asked.items():
        monkeypatch.setenv(name, text)
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "train.py") == -signal.SIGKILL
    recorded = saver.load("state.saver")
    assert sorted(recorded) == ["log", "random", "weights"]
    assert [row["step"] for row in recorded["log"]] == list(range(12))


@pytest.mark.slow
def test_a_terminal_shows_the_same() -> None:
    shown = text_in_a_terminal("rehearse", "--prove", "2", *script())
    for text in ("Waiting until it has saved", "compared"):
        assert text in shown
    assert re.search(r"compared +all bits agree", shown)


# Misuse


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (("--signal", "SIGTERM"), "leave out --signal"),
        (("--after", "1", "--grace", "30"), "leave out --after and --grace"),
        (("--after-saves", "0"), "--after-saves"),
        (("--prove", "0"), "--prove"),
    ],
    ids=str,
)
def test_what_makes_no_sense_in_a_proof_is_refused(arguments: Sequence[str], reported: str) -> None:
    done = run("rehearse", "--prove", "3", *arguments, "--", "true")
    assert (done.exit_code, done.stdout) == (2, "")
    assert reported in done.stderr


# What is decided


def event(kind: Any, step: int = -1, run: str = "run", ref: str = "") -> RunEvent:
    return RunEvent(kind=kind, at=0.0, process=1, run=run, step=step, ref=ref)


def test_the_save_is_the_first_of_which_its_run_has_so_many() -> None:
    reported = [
        event("saved", 1, ref="run@1"),
        event("saved", 1, "other", "other@1"),
        event("saved", 5, ref="run@2"),
    ]
    assert chosen(reported, 1) == reported[0]
    assert chosen(reported[:2], 2) is None
    assert chosen(reported, 2) == reported[2]


def test_it_goes_on_with_what_comes_first() -> None:
    other = [event("resumed", 3, "other"), event("step", 4, "other"), event("started")]
    assert resumed_or_stepped(other, "run") is None
    for kind in ("resumed", "step"):
        assert resumed_or_stepped([*other, event(kind), event("step")], "run") == event(kind)


def test_only_who_resumes_from_the_version_goes_on_from_it() -> None:
    version = event("saved", 9, ref="run@2")
    assert wrong_start(version, event("resumed", 9, ref="run@2")) == ("", "")
    assert wrong_start(version, event("resumed", 4, ref="run@1"))[0] == "it resumed from run@1, step 4"
    assert wrong_start(version, event("step", 0))[0] == "it started from the beginning"


def test_only_the_same_steps_can_be_compared() -> None:
    assert other_steps([3, 4], [3, 4]) == ("", "")
    assert other_steps([3, 4], [3])[0] == "it trained step 3, and steps 3 to 4 the first time"
    assert other_steps([3, 5], [3, 4, 5])[0] != ""


# Frameworks

LOADING = """
import torch
from torch.utils.data import DataLoader, TensorDataset
import saver
from saver import Every

torch.set_num_threads(1)
torch.manual_seed(0)
images = torch.randn(64, 5)
loader = DataLoader(TensorDataset(images, (images[:, 0] > 0).long()), batch_size=8, shuffle=True)
net = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 2))
optimizer = torch.optim.AdamW(net.parameters())
objects = {{"model": net, "optimizer": optimizer}}
{lines}
with saver.Saver("models").checkpoints("run-7", objects, every=Every(steps={every})) as run:
    step = run.resume()
    for epoch in range(step // len(loader), 100):
        for x, y in loader:
            loss = torch.nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.step(step, epoch=epoch, loss=loss)
            step += 1
"""


def loading(every: int, lines: str = "") -> list[str]:
    Path("train.py").write_text(LOADING.format(every=every, lines=lines))
    return ["--", sys.executable, "train.py"]


@pytest.mark.slow
def test_a_loader_in_the_middle_of_its_epoch_is_named() -> None:
    pytest.importorskip("torch")
    done = run("rehearse", "--prove", "3", *loading(5))
    assert done.exit_code == 1, done.output
    assert facts(done)["version"] == "run-7@1, step 4"
    assert facts(done)["compared"].startswith("model/0.weight differs in ")
    assert "; the reported numbers first differ at step 5" in facts(done)["compared"]
    assert "the position in the data" in done.stdout
    assert "(random/torch" in done.stdout
    assert "the data loader" in done.stdout


@pytest.mark.slow
def test_a_loader_at_the_beginning_of_an_epoch_agrees_to_the_bit() -> None:
    pytest.importorskip("torch")
    done = run("rehearse", "--prove", "12", *loading(8))
    assert done.exit_code == 0, done.output
    assert facts(done)["compared"] == "all bits agree"
    assert facts(done)["trained"] == "steps 8 to 19"


@pytest.mark.slow
def test_a_loader_among_the_objects_agrees_in_the_middle_of_its_epoch() -> None:
    pytest.importorskip("torchdata")
    lines = "from torchdata.stateful_dataloader import StatefulDataLoader\n"
    lines += "loader = objects['loader'] = StatefulDataLoader(loader.dataset, batch_size=8, shuffle=True)"
    done = run("rehearse", "--prove", "12", *loading(5, lines))
    assert done.exit_code == 0, done.output
    assert facts(done)["trained"] == "steps 5 to 16"
