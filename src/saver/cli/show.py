"""`saver show`: what lies in a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from saver import Description, describe
from saver.cli._screen import Screen, print_json, screen, size
from saver.environment import DISTRIBUTIONS
from saver.errors import Damaged
from saver.pack import Entry, Pack
from saver.single import PartInfo

SHORT_HASH = 12
"""Digits of a hash that tell apart what one person has, and fit a table."""

FIELDS_SHOWN = 30


@click.command()
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with everything.")
@click.option(
    "--tensors", default=20, metavar="N", type=click.IntRange(0),
    help="List the N largest tensors (20).",
)  # fmt: skip
@click.option("--verify", is_flag=True, help="Read all bytes and check them against their hashes.")
def command(file: str, as_json: bool, tensors: int, verify: bool) -> None:
    """Tell what lies in FILE: parts, tensors, environment, and the classes it will ask trust for.

    Builds and imports nothing of it. Exit code 1 when the file is damaged.
    """
    found = describe(file)
    if as_json:
        _show_json(found, verify)
        return
    on = screen()
    _show_file(found, on)
    _show_parts(found.parts, on)
    _show_tensors(found.parts, tensors, on)
    _show_environment(found.environment, on)
    _show_trust(found, on)
    if verify:
        _verify(found, on)


def _show_json(found: Description, verify: bool) -> None:
    document = msgspec.to_builtins(found)
    document["time_utc"] = _time(found.time, local=False)
    if verify:
        try:
            Pack(found.path).verify()
        except Damaged as error:
            print_json(document | {"verified": False, "damage": str(error)})
            raise
        document["verified"] = True
    print_json(document)


def _show_file(found: Description, on: Screen) -> None:
    on.heading(found.path)
    on.facts(
        {
            "size": f"{size(found.bytes)} ({found.bytes:,} bytes)",
            "saved": _time(found.time, local=True) or "at an unknown time",
            "hash": found.hash,
        }
    )


def _time(seconds: float, local: bool) -> str | None:
    """A Unix time as text; None for what no calendar has."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
        if local:
            return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}"
    except (ValueError, OverflowError, OSError):
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _show_parts(parts: Sequence[PartInfo], on: Screen) -> None:
    on.heading("Parts")
    on.table(
        ("part", "class", "package", ">size", ">tensors", "hash"),
        [
            (
                part.name,
                part.kind.rpartition(".")[2],
                part.kind.partition(".")[0] if "." in part.kind else "",
                size(part.bytes),
                str(len(part.tensors)),
                part.hash[:SHORT_HASH],
            )
            for part in parts
        ],
    )
    told = {part.name: _fields(part.values) for part in parts if part.values}
    if told:
        on.heading("Fields")
        on.facts(told)


def _fields(values: Mapping[str, str]) -> str:
    if list(values) == ["value"]:
        return values["value"]
    shown = [f"{name}={text}" for name, text in values.items()][:FIELDS_SHOWN]
    more = len(values) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _show_tensors(parts: Sequence[PartInfo], limit: int, on: Screen) -> None:
    """The largest tensors; a tensor that two parts share counts once."""
    entries = {entry.name: entry for part in parts for entry in part.tensors}
    largest = sorted(entries.values(), key=lambda entry: (-entry.length, entry.name))[:limit]
    on.heading(f"Tensors ({len(entries):,})")
    if largest:
        on.table(("name", "dtype", ">shape", ">size"), [_tensor_row(entry) for entry in largest])
    left = len(entries) - len(largest)
    if left:
        on.say(f"and {left:,} more: --tensors {len(entries)} lists them all")


def _tensor_row(entry: Entry) -> tuple[str, ...]:
    return entry.name, entry.dtype, " x ".join(map(str, entry.shape)) or "-", size(entry.length)


def _show_environment(environment: Mapping[str, Any], on: Screen) -> None:
    on.heading("Environment")
    on.facts(dict(_environment(environment)))


def _environment(environment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was recorded, line by line. Other Savers may have recorded other things."""
    told = {"packages": _packages, "git": _git, "random": _random}
    for name, value in environment.items():
        if name in told and isinstance(value, dict):
            yield from told[name](value)
        elif name == "python" and "implementation" in environment:
            yield name, f"{value} ({environment['implementation']})"
        elif value is not None and name not in ("implementation", "machine"):
            yield name, str(value)


def _packages(versions: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = (f"{DISTRIBUTIONS.get(name, name)} {text}" for name, text in versions.items())
    yield "packages", ", ".join(names)


def _git(state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    dirty = state.get("dirty")
    words = {True: ", with uncommitted changes", False: ", no uncommitted changes"}
    yield "git", f"{state.get('commit')}{words[dirty] if isinstance(dirty, bool) else ''}"


def _random(state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, joint in (("seeds", " = "), ("generators", ": ")):
        values = state.get(name)
        if values and isinstance(values, dict):
            yield name, ", ".join(f"{place}{joint}{text}" for place, text in values.items())


def _show_trust(found: Description, on: Screen) -> None:
    on.heading("Trust")
    if not found.untrusted:
        on.say("Saver knows every class in it: it loads as it is.")
        return
    on.say("To load it, say that you trust these classes, if you trust whoever made the file:")
    names = ", ".join(f'"{name}"' for name in found.untrusted)
    path = json.dumps(os.path.basename(found.path))
    on.code([f"saver.load({path}, trust=[{names}])"])


def _verify(found: Description, on: Screen) -> None:
    with on.progress("Verifying") as progress:
        Pack(found.path).verify(progress=progress)
    on.heading("Verified")
    on.say(f"All {size(found.bytes)} match their hashes.")
