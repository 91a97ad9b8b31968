"""`saver doctor`: whether a version gives the same results here; or the state of this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec

import click

from saver import documents, registry
from saver.access import Access
from saver.allowing import allowing
from saver.cli._access import history, is_store, permissions
from saver.cli._completing import refs_or_files
from saver.cli._screen import Screen, print_json, screen
from saver.cli._store import counted, json_option, store_option
from saver.cli._subject import subject
from saver.description import Description
from saver.doctor import Finding, diagnose
from saver.family import Severity

FOUND = 1
"""The exit code if there is a problem or a warning."""

SEVERITIES: tuple[Severity, ...] = ("problem", "warning", "note", "ok")


@click.command()
@click.argument("what", metavar="[REF_OR_FILE_OR_STORE]", required=False, shell_complete=refs_or_files)
@store_option
@json_option
@click.pass_context
def command(ctx: click.Context, what: str | None, address: str, as_json: bool) -> None:
    """Show what differs between this environment and the one in which a version was made.

    Also what that may mean for its results. Of a folder with a store, show who may read, write and collect
    in it, what contradicts that, and whether it was rolled back to before what this machine saw. Without an
    argument, show the state of this machine and of the store. No saved object is built. Exit code 1 if there
    is a problem or a warning.
    """
    who: Access | None = None
    if what is not None and is_store(what):
        path, (who, findings) = what, permissions(what)
        findings += history(what)
    elif what is None:
        from saver.cli._machine import inspect

        path = None
        findings = inspect(address)
    else:
        found = subject(what, address).description
        path, findings = found.path, _compare(found)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    if as_json:
        print_json(documents.document(documents.Diagnosis, path=path, findings=findings, access=who))
    else:
        _show(path or "This machine", findings, screen())
    if {"problem", "warning"} & {finding.severity for finding in findings}:
        ctx.exit(FOUND)


def _compare(found: Description) -> list[Finding]:
    if isinstance(found.environment.get("gpu"), str):
        _start_gpu()
    findings = diagnose(found.environment, {part.name: part for part in found.parts})
    if found.untrusted:
        meaning = f"if you trust its author, load it with {allowing(found.untrusted)}"
        classes = f"{len(found.untrusted)} unknown class{'es' * (len(found.untrusted) > 1)}"
        findings.append(Finding("note", "trust", classes, "", meaning))
    return findings


def _start_gpu() -> None:
    """Let the libraries look for a GPU here, to compare it with the recorded one."""
    for family in registry.families():
        module = family.module("facts") if find_spec(family.packages[0]) is not None else None
        if module is not None:
            module.start()


def _show(place: str, findings: Sequence[Finding], on: Screen) -> None:
    """Print a table, which fits the terminal, and below it the longer texts."""
    compared = any(finding.recorded for finding in findings)
    on.heading(place)
    on.table(
        ("", "", "recorded", "here") if compared else ("", "", "here"),
        [
            (each.severity, each.topic, *((each.recorded,) if compared else ()), each.here)
            for each in findings
        ],
    )
    meanings: dict[str, list[str]] = {}
    for finding in findings:
        if finding.meaning:
            meanings.setdefault(finding.meaning, []).append(finding.topic)
    if meanings:
        on.heading("What it may mean" if compared else "Remarks")
        on.facts({", ".join(topics): meaning for meaning, topics in meanings.items()})
    on.heading(_summary(findings))


def _summary(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.severity for finding in findings)
    found = [counted(counts[severity], severity) for severity in SEVERITIES[:3] if counts[severity]]
    return ", ".join(found) if found else "No problems found."
