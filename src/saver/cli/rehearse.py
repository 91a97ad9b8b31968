"""`saver rehearse`: ends a training script as a scheduler would, and reports what was lost."""

from __future__ import annotations

import math
import shlex
import signal
from contextlib import nullcontext

import click
from click.core import ParameterSource

from saver import documents
from saver.cli import Finding
from saver.cli._screen import Screen, print_json, screen
from saver.cli._store import counted, json_option
from saver.rehearsal.outcome import BEGINNING, Plan, Rehearsal, resumed_text, span
from saver.rehearsal.processes import Proven, Wanted, prove
from saver.rehearsal.proof import steps_text
from saver.rehearsal.script import Waiting
from saver.rehearsal.signalled import rehearse


def _number(_: click.Context, __: click.Parameter, name: str) -> int:
    known = {each.name.removeprefix("SIG"): each for each in signal.Signals}
    found = known.get(name.upper().removeprefix("SIG"))
    if found is None:
        raise click.BadParameter(f"there is no signal {name}; name one such as SIGTERM or SIGUSR1")
    return found


def _seconds(_: click.Context, __: click.Parameter, seconds: float | None) -> float | None:
    if seconds is not None and not math.isfinite(seconds):
        raise click.BadParameter(f"{seconds} is not a number of seconds")
    return seconds


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--grace", default=30.0, metavar="SECONDS", type=click.FloatRange(0), callback=_seconds,
    help="Seconds from the signal to SIGKILL (30).",
)  # fmt: skip
@click.option(
    "--after", metavar="SECONDS", type=click.FloatRange(0), callback=_seconds,
    help="Send the signal this long after the first step, saved or not.",
)  # fmt: skip
@click.option(
    "--after-saves", "saves", metavar="N", type=click.IntRange(1),
    help="Send it after N saves and one more step; or prove from there (1).",
)  # fmt: skip
@click.option(
    "--signal",
    "number",
    default="SIGTERM",
    metavar="NAME",
    callback=_number,
    help="The signal to send (SIGTERM).",
)
@click.option(
    "--group", is_flag=True,
    help="Send it to all processes that the script started, as some schedulers do.",
)  # fmt: skip
@click.option(
    "--patience", default=600.0, metavar="SECONDS", type=click.FloatRange(0), callback=_seconds,
    help="Give up if the script needs longer to reach that point, or to resume (600).",
)  # fmt: skip
@click.option(
    "--prove", "steps", metavar="STEPS", type=click.IntRange(1),
    help="No signal: compare STEPS steps after a save with the same steps after a resume.",
)  # fmt: skip
@json_option
@click.argument("script", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [ARGS]...")
@click.pass_context
def command(
    ctx: click.Context, grace: float, after: float | None, saves: int | None, number: int, patience: float,
    group: bool, steps: int | None, as_json: bool, script: tuple[str, ...],
) -> None:  # fmt: skip
    """End a training script as a scheduler would, start it again, and report what was lost.

    The script is started, and when it has saved and continued, it gets a real SIGTERM; after the grace
    period, SIGKILL. Then it is started again, and ended when it has resumed and taken a step. It saves
    where it always does, so use a separate run. Exit code 1 if finished steps were lost, or if it did
    not resume.

    With --prove, the script trains STEPS steps after a save, is killed, and is started again to train the
    same steps from that version. Exit code 1 if the objects, the random states or the metrics are not
    equal then, to the bit. Meanwhile the two states are stored in the folder for temporary files.
    """
    if after is not None and saves is not None:
        raise click.UsageError("--after and --after-saves exclude each other; give one of them")
    on = None if as_json else screen()
    found: Rehearsal | Proven
    if steps is not None:
        _refuse_signals(ctx)
        found = prove(Wanted(script, steps, saves or 1, patience), _waiting(on))
    else:
        plan = Plan(script, number, grace, after, saves or 1, patience, group)
        found = rehearse(plan, _waiting(on))
    if on is None:
        print_json(_document(found))
    elif isinstance(found, Proven):
        _show_proven(found, on)
    else:
        _show(found, on)
    if not found.good:
        raise Finding(found.verdict if isinstance(found, Proven) else _verdict(found))


def _document(found: Rehearsal | Proven) -> documents.Rehearsal | documents.Proven:
    if isinstance(found, Proven):
        return documents.document(documents.Proven, found)
    return documents.document(documents.Rehearsal, found)


def _refuse_signals(ctx: click.Context) -> None:
    """Refuse the options of a signal, which have no meaning for a proof."""
    options = {"number": "--signal", "after": "--after", "grace": "--grace", "group": "--group"}
    given = [
        option
        for name, option in options.items()
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    if given:
        raise click.UsageError(f"--prove sends no signal: leave out {' and '.join(given)}")


# Reporting


def _waiting(on: Screen | None) -> Waiting:
    return on.progress if on is not None else lambda text: nullcontext()


def _show(found: Rehearsal, on: Screen) -> None:
    ended, saved, resumed = found.ended, found.saved, found.resumed
    on.heading(shlex.join(found.command))
    facts = {"run": found.run, "signal": f"{found.signal}, after step {found.step_at_signal:,}"}
    if ended.within_grace:
        facts["ended"] = f"{span(ended.seconds)} after the signal, by {ended.status}"
    else:
        facts["ended"] = f"by SIGKILL, at the end of the grace period of {found.grace:g} s"
    facts["last step"] = f"{found.last_step:,}"
    if saved is None:
        facts["saved"] = "nothing since the start"
    elif saved.seconds < 0:
        facts["saved"] = f"nothing after the signal; the newest version was {saved.ref}, step {saved.step:,}"
    else:
        facts["saved"] = f"{saved.ref}, step {saved.step:,}; on disk {span(saved.seconds)} after the signal"
    if resumed is None:
        facts["resumed"] = f"no: {found.problem or 'it started from the beginning'}"
    else:
        over = "; no steps were left" if resumed.seconds is None else ""
        facts["resumed"] = resumed_text(resumed) + over
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
    if found.resumed is None and not found.problem:
        advice.append(BEGINNING)
    if not caught and (found.ended.within_grace or found.last_step > found.step_at_signal):
        advice.append(
            f"The run did not receive {found.signal}: add OnSignal() to its `every`, and make sure that the "
            "signal reaches the process that trains, not only a shell around it, and that nothing there "
            "ignores it or handles it without the run."
        )
    elif not saved:
        advice.append(
            f"No step was finished and saved in {found.grace:g} s: save more often, with "
            "Every(minutes=...), or request a longer grace period."
        )
    elif not found.ended.within_grace and found.steps_lost:
        advice.append(
            "It continued after it had saved, until SIGKILL: a run ends after SIGTERM, but continues after "
            "signals such as SIGUSR1."
        )
    return advice


def _show_proven(found: Proven, on: Screen) -> None:
    """Print the report of a proof."""
    proof, resumed = found.proof, found.resumed
    on.heading(shlex.join(found.command))
    facts = {"run": found.run, "version": f"{found.ref}, step {found.step:,}"}
    facts["resumed"] = f"no: {found.problem}" if resumed is None else resumed_text(resumed)
    if proof is not None:
        over = f"; the training ended there, after {proof.steps:,} of {found.steps_asked:,} steps"
        facts["trained"] = steps_text(proof.start, proof.last)
        facts["trained"] += over if proof.steps < found.steps_asked else ""
        facts["compared"] = proof.finding
    elif resumed is not None:
        facts["compared"] = f"nothing: {found.problem}"
    on.facts(facts)
    if found.advice:
        on.heading("What to do")
        on.say(found.advice)
