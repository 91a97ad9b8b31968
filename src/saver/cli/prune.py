"""`saver prune`: deletes the versions of a model that need not be kept."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import reduce
from operator import or_

import click

from saver import Saver, Version, documents
from saver.cli import Misuse
from saver.cli._completing import models
from saver.cli._screen import clean, print_json, screen, size
from saver.cli._store import NAMED, counted, existing, json_option, named, store_option
from saver.policy import Keep, Retention
from saver.repo.refs import parse_extreme


@click.command()
@click.argument("model", shell_complete=models)
@click.option("--keep-last", metavar="N", type=click.IntRange(1), help="Keep the N newest.")
@click.option(
    "--keep-best", metavar="METRIC", multiple=True,
    help="Keep the best by a metric, 3:auc the best three; max:NAME and min:NAME say which way is better.",
)  # fmt: skip
@click.option(
    "--keep-every", metavar="STEPS", type=click.IntRange(1), help="Keep one for every so many steps."
)
@click.option("--keep-budget", metavar="SIZE", help="Keep the newest that fit into this, such as 20GB.")
@click.option("-n", "--dry-run", is_flag=True, help="Only report; change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@store_option
@json_option
def command(
    model: str, keep_last: int | None, keep_best: tuple[str, ...], keep_every: int | None,
    keep_budget: str | None, dry_run: bool, yes: bool, address: str, as_json: bool,
) -> None:  # fmt: skip
    """Delete the versions of a model, except those that one of the options keeps.

    The newest version, the newest that is sound (which is read for that) and those with a tag stay in any
    case. Asks for confirmation; without a terminal, --yes is needed. `saver gc` then frees the bytes.
    """
    keep = _policy(keep_last, keep_best, keep_every, keep_budget)
    store = existing(address)
    doomed = _pruned(store, model, keep, dry_run or not yes)
    if doomed and not dry_run and not yes:
        if not _is_confirmed(doomed):
            click.echo("nothing was deleted", err=True)
            raise click.exceptions.Exit(Misuse.exit_code)
        doomed = _pruned(store, model, keep, dry_run=False)
    if as_json:
        deleted = tuple(documents.version(documents.Version, version) for version in doomed)
        print_json(documents.Pruned(model=model, dry_run=dry_run, deleted=deleted))
        return
    left = store.summary(model).versions - (len(doomed) if dry_run else 0)
    said = (
        f"{'would delete' if dry_run else 'deleted'} {_costing(doomed, None if dry_run else NAMED)}"
        if doomed
        else "nothing to delete"
    )
    told = screen().answer if dry_run else screen().done
    told(f"{said}; {counted(left, 'version')} of {model} {'stays' if left == 1 else 'stay'}")


def _policy(last: int | None, best: Sequence[str], every: int | None, budget: str | None) -> Retention:
    try:
        found = [*map(_best, best)]
        found += [Keep(last=last)] if last is not None else []
        found += [Keep(every=every)] if every is not None else []
        found += [Keep(budget=budget)] if budget is not None else []
    except (ValueError, TypeError) as error:
        raise Misuse(str(error)) from None
    if not found:
        raise Misuse("what is to be kept? Give --keep-last, --keep-best, --keep-every or --keep-budget")
    return reduce(or_, found)


def _best(text: str) -> Retention:
    """`auc`, `3:auc`, `max:NAME`, `3:min:NAME`."""
    number, colon, rest = text.partition(":")
    count, name = (int(number), rest) if colon and number.isascii() and number.isdigit() else (1, text)
    wanted = parse_extreme(name) or parse_extreme(f"best:{name}")
    if wanted is None:
        raise Misuse(f"--keep-best {text!r}: name a metric, as in --keep-best auc")
    return Keep(best=count, by=wanted.metric, mode="max" if wanted.largest else "min")


def _pruned(store: Saver, model: str, keep: Retention, dry_run: bool) -> list[Version]:
    with screen().progress("Verifying") as progress:
        return store.prune(model, keep, dry_run=dry_run, progress=progress)


def _is_confirmed(versions: Sequence[Version]) -> bool:
    if not sys.stdin.isatty():
        raise Misuse("there is no terminal to ask in, so nothing was deleted; --yes deletes without asking")
    return click.confirm(clean(f"Delete {_costing(versions, NAMED)}?"), err=True)


def _costing(versions: Sequence[Version], limit: int | None = None) -> str:
    saved = size(sum(version.bytes_added for version in versions))
    return f"{named(versions, limit)} ({saved} when they were saved)"
