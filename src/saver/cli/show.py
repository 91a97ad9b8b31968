"""`saver show`: the contents of a version or a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from saver.allowing import MAIN, allowing
from saver.cli._completing import refs_or_files
from saver.cli._screen import Screen, print_json, screen, size
from saver.cli._store import json_option, store_option
from saver.cli._subject import Subject, subject
from saver.codec.absent import absent, told
from saver.description import PartInfo, parts_page
from saver.environment import distribution
from saver.errors import DamagedError
from saver.tensors import TensorInfo

if TYPE_CHECKING:  # imported when it is wanted: most people look, and few of them at the data
    from saver import documents

RANDOM = (("given", "seeds given", " = "), ("seeds", "seeds", " = "), ("generators", "generators", ": "))
"""Recorded random states: the field, its title, and the text between name and value."""


@click.command()
@click.argument("what", metavar="REF_OR_FILE", shell_complete=refs_or_files)
@click.option(
    "--tensors", default=20, metavar="N", type=click.IntRange(0),
    help="List the N largest tensors (20).",
)  # fmt: skip
@click.option("--verify", is_flag=True, help="Read all bytes and check them against their hashes.")
@store_option
@json_option
def command(what: str, tensors: int, verify: bool, address: str, as_json: bool) -> None:
    """Show the contents of a version or a file.

    Its parts, tensors, environment, and the classes for which it needs your trust. REF_OR_FILE is a
    file if one of that name exists, or if the name ends in .saver. No object is built and no library
    imported. Exit code 1 if it is damaged.
    """
    shown = subject(what, address)
    if as_json:
        _show_json(shown, verify)
        return
    on = screen()
    found = shown.description
    on.heading(found.path)
    on.facts(shown.facts())
    _show_notes(shown, on)
    on.show(parts_page(found.parts, shown.version is not None))
    _show_tensors(found.parts, tensors, on)
    if found.predictions is not None:
        on.show(found.predictions._page())
    _show_data(found.data, on)
    _show_environment(found.environment, on)
    _show_trust(shown, on)
    if verify:
        _verify(shown, on)


def _show_json(shown: Subject, verify: bool) -> None:
    if not verify:
        print_json(_document(shown))
        return
    try:
        shown.verify()
    except DamagedError as error:
        print_json(_document(shown, verified=False, damage=str(error)))
        raise
    print_json(_document(shown, verified=True))


def _document(
    shown: Subject, verified: bool | None = None, damage: str | None = None
) -> documents.Description:
    from saver.documents.contents import described

    return described(shown.description, shown.version, verified, damage)


def _show_notes(shown: Subject, on: Screen) -> None:
    """Print notes of several lines."""
    notes = shown.version.notes if shown.version is not None else ""
    if "\n" in notes:
        on.heading("Notes")
        for line in notes.splitlines():
            on.say(line)


def _show_tensors(parts: Sequence[PartInfo], limit: int, on: Screen) -> None:
    """Print the largest tensors; a tensor that two parts share counts once."""
    entries = {entry.name: entry for part in parts for entry in part.tensors}
    largest = sorted(entries.values(), key=lambda entry: (-entry.length, entry.name))[:limit]
    on.heading(f"Tensors ({len(entries):,})")
    if largest:
        on.table(("name", "dtype", ">shape", ">size"), [_tensor_row(entry) for entry in largest])
    left = len(entries) - len(largest)
    if left:
        on.say(f"and {left:,} more: --tensors {len(entries)} lists them all")


def _tensor_row(entry: TensorInfo) -> tuple[str, ...]:
    return entry.name, entry.dtype, " x ".join(map(str, entry.shape)) or "-", size(entry.length)


def _show_data(data: Mapping[str, Any], on: Screen) -> None:
    """Print what is recorded of the training data."""
    if data:
        from saver.fingerprint import describe

        on.heading("Data")
        facts = {
            name: describe(found) if isinstance(found, dict) else str(found) for name, found in data.items()
        }
        on.facts(facts)


def _show_environment(environment: Mapping[str, Any], on: Screen) -> None:
    on.heading("Environment")
    on.facts(dict(_environment(environment)))


def _environment(environment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The environment, line by line. Other versions of Saver may have recorded other fields."""
    described = {"packages": _packages, "git": _git, "random": _random}
    for name, value in environment.items():
        if name in described and isinstance(value, dict):
            yield from described[name](value)
        elif name == "python" and "implementation" in environment:
            yield name, f"{value} ({environment['implementation']})"
        elif value is not None and name not in ("implementation", "machine"):
            yield name, str(value)


def _packages(versions: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = (f"{distribution(name)} {text}" for name, text in versions.items())
    yield "packages", ", ".join(names)


def _git(state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    dirty = state.get("dirty")
    words = {True: ", with uncommitted changes", False: ", no uncommitted changes"}
    yield "git", f"{state.get('commit')}{words[dirty] if isinstance(dirty, bool) else ''}"


def _random(state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, title, joint in RANDOM:
        values = state.get(name)
        if values and isinstance(values, dict):
            yield title, ", ".join(f"{place}{joint}{text}" for place, text in values.items())


def _show_trust(shown: Subject, on: Screen) -> None:
    untrusted = shown.description.untrusted
    missing = absent(name for part in shown.description.parts for name in part.packages)
    if missing:
        on.heading("Missing")
        on.say(f"To load it, you need {told(missing)}")
    on.heading("Trust")
    if not untrusted:
        on.say("Saver knows every class and function that it names: it loads without trust=.")
        return
    on.say("To load it, allow these classes, if you trust its author:")
    on.code(shown.loading(allowing(untrusted)))
    if any(name.startswith(f"{MAIN}.") for name in untrusted):
        on.say(
            "Those of __main__ were defined in a script or a notebook: import them from where they are now."
        )


def _verify(shown: Subject, on: Screen) -> None:
    with on.progress("Verifying") as progress:
        shown.verify(progress)
    on.heading("Verified")
    on.say(f"All {size(shown.description.bytes)} match their hashes.")
