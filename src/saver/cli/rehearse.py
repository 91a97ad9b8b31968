"""`saver rehearse`: ends a training script as a scheduler would, starts it again, and tells what that cost."""

from __future__ import annotations

import math
import shlex
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from saver.checkpoints.rehearsal import Told
from saver.cli import Finding
from saver.cli._screen import Screen, print_json, screen
from saver.cli._script import Script
from saver.cli._store import counted, json_option

ENDING_GRACE = 5.0
"""Seconds that the second start is left to end by itself: what it saves then is of no interest."""


class Ended(msgspec.Struct, frozen=True):
    """How the script ended: how many seconds after the signal, by what, and whether SIGKILL was needed."""

    seconds: float
    status: str
    within_grace: bool


class Saved(msgspec.Struct, frozen=True):
    """The newest version when it had ended; `seconds` from the signal until it was on disk, negative for one
    that was there before."""

    ref: str
    step: int
    seconds: float


class Resumed(msgspec.Struct, frozen=True):
    """What the second start went on from; `seconds` until it had taken a step, None if none was left."""

    ref: str
    step: int
    seconds: float | None


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. Steps are those of the run, the last one finished each time."""

    command: tuple[str, ...]
    run: str
    signal: str
    grace: float
    step_at_signal: int
    noticed_seconds: float | None
    last_step: int
    ended: Ended
    saved: Saved | None
    resumed: Resumed | None
    steps_lost: int

    @property
    def good(self) -> bool:
        """Whether it went on after the last step that it had finished."""
        return self.resumed is not None and not self.steps_lost


class Plan(NamedTuple):
    """What was asked for."""

    command: tuple[str, ...]
    number: int
    grace: float
    after: float | None
    saves: int
    patience: float


def _number(_: click.Context, __: click.Parameter, name: str) -> int:
    known = {each.name.removeprefix("SIG"): each for each in signal.Signals}
    found = known.get(name.upper().removeprefix("SIG"))
    if found is None:
        raise click.BadParameter(f"there is no signal {name}; name one such as SIGTERM or SIGUSR1")
    return found


def _seconds(_: click.Context, __: click.Parameter, seconds: float | None) -> float | None:
    if seconds is not None and not math.isfinite(seconds):
        raise click.BadParameter(f"{seconds} is no number of seconds")
    return seconds


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--grace", default=30.0, metavar="SECONDS", type=click.FloatRange(0), callback=_seconds,
    help="From the signal to SIGKILL (30).",
)  # fmt: skip
@click.option(
    "--after", metavar="SECONDS", type=click.FloatRange(0), callback=_seconds,
    help="Send the signal so long after the first step, saved or not.",
)  # fmt: skip
@click.option(
    "--after-saves", "saves", metavar="N", type=click.IntRange(1),
    help="Send it after so many saves, and a step beyond the last one (1).",
)  # fmt: skip
@click.option(
    "--signal", "number", default="SIGTERM", metavar="NAME", callback=_number, help="Which one (SIGTERM)."
)
@click.option(
    "--patience", default=600.0, metavar="SECONDS", type=click.FloatRange(0), callback=_seconds,
    help="Give up when it takes longer until then, or until it has resumed (600).",
)  # fmt: skip
@json_option
@click.argument("script", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [ARGS]...")
def command(
    grace: float, after: float | None, saves: int | None, number: int, patience: float, as_json: bool,
    script: tuple[str, ...],
) -> None:  # fmt: skip
    """End a training script as a scheduler would, start it again, and tell what was lost.

    The script is started, and when it has saved and gone on, it gets a real SIGTERM; after the grace
    period, SIGKILL. Then it is started again, and ended when it has resumed and taken a step. It saves
    where it always does: use a run of its own. Exit code 1 when steps that were finished were lost, or
    it did not resume.
    """
    if after is not None and saves is not None:
        raise click.UsageError("--after and --after-saves exclude each other")
    plan = Plan(script, number, grace, after, saves or 1, patience)
    on = None if as_json else screen()
    found = _rehearse(plan, on)
    if on is None:
        print_json(msgspec.to_builtins(found) | {"good": found.good})
    else:
        _show(found, on)
    if not found.good:
        raise Finding(_verdict(found))


# Doing it


def _rehearse(plan: Plan, on: Screen | None) -> Rehearsal:
    with ExitStack() as stack:
        stack.enter_context(_ended_like_by_ctrl_c())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="saver-rehearse-")))
        first, second = Script(plan.command, folder / "1"), Script(plan.command, folder / "2")
        with _telling(on, "Waiting until it has saved" if plan.after is None else "Waiting until it trains"):
            stack.enter_context(first)
            run = first.wait_for("it had saved and gone on", lambda told: _ready(told, plan), plan.patience)
        with _telling(on, "Waiting until it has ended"):
            sent = time.monotonic()
            first.process.send_signal(plan.number)
            within = first.end(plan.grace)
            seconds = time.monotonic() - sent
            first.kill()
        ended = Ended(seconds, first.status, within)
        with _telling(on, "Waiting until it has resumed"):
            stack.enter_context(second)
            second.wait_for("it had taken a step", lambda told: _going_on(told, run), plan.patience)
            second.process.send_signal(signal.SIGTERM)
            second.end(ENDING_GRACE)
    return outcome(plan, run, first.events, sent, ended, second.events, second.began)


@contextmanager
def _ended_like_by_ctrl_c() -> Iterator[None]:
    """Who ends the rehearsal ends the script too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _telling(on: Screen | None, text: str) -> Iterator[None]:
    with ExitStack() as stack:
        if on is not None:
            stack.enter_context(on.progress(text))
        yield


# Deciding


def _ready(told: Sequence[Told], plan: Plan) -> str | None:
    """The name of the run that trains, once it is time for the signal."""
    steps = [event for event in told if event.kind == "step"]
    if not steps:
        return None
    run = steps[-1].run
    if plan.after is not None:
        begun = next(event.at for event in steps if event.run == run)
        return run if time.monotonic() >= begun + plan.after else None
    saved = [event.step for event in told if event.kind == "saved" and event.run == run]
    return run if len(saved) >= plan.saves and steps[-1].step > saved[-1] else None


def _going_on(told: Sequence[Told], run: str) -> bool | None:
    """Whether it has taken a step, or was left without one after it had resumed: then none was left to take."""
    kinds = [event.kind for event in told if event.run == run]
    return True if "step" in kinds or {"resumed", "ended"} <= set(kinds) else None


def outcome(
    plan: Plan,
    run: str,
    first: Sequence[Told],
    sent: float,
    ended: Ended,
    second: Sequence[Told],
    began: float,
) -> Rehearsal:
    """What came of it, from what was told before and after."""
    before = [event for event in first if event.run == run]
    after = [event for event in second if event.run == run]
    steps = [event for event in before if event.kind in ("step", "signal")]
    noticed = next((event.at - sent for event in before if event.kind == "signal"), None)
    last = max(event.step for event in steps)
    saves = [event for event in before if event.kind == "saved"]
    saved = Saved(saves[-1].ref, saves[-1].step, saves[-1].at - sent) if saves else None
    resumed = _resumed(after, began)
    return Rehearsal(
        command=plan.command,
        run=run,
        signal=signal.Signals(plan.number).name,
        grace=plan.grace,
        step_at_signal=max((event.step for event in steps if event.at <= sent), default=-1),
        noticed_seconds=noticed,
        last_step=last,
        ended=ended,
        saved=saved,
        resumed=resumed,
        steps_lost=max(0, last - (resumed.step if resumed is not None else -1)),
    )


def _resumed(told: Sequence[Told], began: float) -> Resumed | None:
    stepped = next((event for event in told if event.kind == "step"), None)
    for event in told:
        if event is stepped:
            break
        if event.kind == "resumed":
            return Resumed(event.ref, event.step, None if stepped is None else stepped.at - began)
    return None


# Telling


def _show(found: Rehearsal, on: Screen) -> None:
    ended, saved, resumed = found.ended, found.saved, found.resumed
    on.heading(shlex.join(found.command))
    facts = {"run": found.run, "signal": f"{found.signal}, after step {found.step_at_signal:,}"}
    if ended.within_grace:
        facts["ended"] = f"{_span(ended.seconds)} after the signal, by {ended.status}"
    else:
        facts["ended"] = f"by SIGKILL, when the grace period of {found.grace:g} s was over"
    facts["last step"] = f"{found.last_step:,}"
    if saved is None:
        facts["saved"] = "nothing"
    elif saved.seconds < 0:
        facts["saved"] = f"nothing after the signal; {saved.ref} was there, of step {saved.step:,}"
    else:
        facts["saved"] = f"{saved.ref}, step {saved.step:,}; on disk {_span(saved.seconds)} after the signal"
    if resumed is None:
        facts["resumed"] = "no: it began again"
    else:
        facts["resumed"] = f"from {resumed.ref}, step {resumed.step:,}" + (
            f"; a step further {_span(resumed.seconds)} after it was started"
            if resumed.seconds is not None
            else "; there was no step left to take"
        )
    facts["lost"] = _lost(found)
    on.facts(facts)
    advice = _advice(found)
    if advice:
        on.heading("What to do")
        for sentence in advice:
            on.say(sentence)


def _lost(found: Rehearsal) -> str:
    if not found.steps_lost:
        return "nothing"
    first = found.last_step - found.steps_lost + 1
    which = f"{first:,} to {found.last_step:,}" if found.steps_lost > 1 else f"{first:,}"
    return f"{counted(found.steps_lost, 'step')}: {which}"


def _verdict(found: Rehearsal) -> str:
    if found.resumed is None:
        return f"{found.run} did not resume: it lost {_lost(found)}"
    return f"{found.run} lost {_lost(found)}"


def _advice(found: Rehearsal) -> list[str]:
    if found.good:
        return []
    advice = []
    caught = found.noticed_seconds is not None
    saved = found.saved is not None and found.saved.seconds >= 0
    if found.resumed is None:
        advice.append("Begin the loop where the run says: `for step in range(run.resume(), ...)`.")
    if not caught and found.ended.within_grace and not saved:
        advice.append(
            f"The run did not catch {found.signal}: join OnSignal() to its `every`, and see that the signal reaches "
            "the process that trains, not only a shell around it."
        )
    elif not saved:
        advice.append(
            f"No step was finished and saved in {found.grace:g} s: let fewer steps lie between saves, with "
            "Every(minutes=...), or ask for a longer grace period."
        )
    elif not found.ended.within_grace and found.steps_lost:
        advice.append(
            "It went on after it had saved, until SIGKILL came: SIGTERM would have ended it; after other signals "
            "a run goes on."
        )
    return advice


def _span(seconds: float) -> str:
    """`0.52 s`, `3.2 s`, `140 s`."""
    return f"{seconds:.{0 if seconds >= 10 else 1 if seconds >= 1 else 2}f} s"
