"""The sections of a card that are tables: facts, parts, data, environment, lineage, signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from saver.card.licence import licence_of
from saver.description import Description, parts_page
from saver.environment import distribution
from saver.human import pairs, size
from saver.page import Facts, Page, Table
from saver.repo.version import Version
from saver.signing.keys import brief
from saver.times import local

NAMED = 20
"""So many versions are named; the others are counted."""

HASH = 16
"""Digits of a fingerprint that are shown."""


def sections(
    version: Version, described: Description, bases: Sequence[Version], verdicts: Mapping[str, str]
) -> Page:
    """All sections that have something to say. `verdicts` says by key whether its signature holds."""
    return [
        Facts("", _facts(version, described)),
        *parts_page(described.parts),
        _metrics(version),
        data(described.data),
        Facts("Environment", environment(described.environment)),
        Facts("Lineage", _lineage(version, bases)),
        *_signatures(verdicts),
    ]  # fmt: skip


def _facts(version: Version, described: Description) -> dict[str, str]:
    return {
        "saved": ", by ".join(filter(None, (local(version.time), version.author))),
        "step": "" if version.step is None else f"{version.step:,}",
        "tags": ", ".join(version.tags),
        "licence": licence_of(version.labels),
        "labels": pairs(version.labels),
        "size": size(described.bytes),
        "hash": described.hash,
    }


def _metrics(version: Version) -> Table:
    rows = [(name, f"{value:.10g}") for name, value in version.metrics.items()]
    return Table("Metrics", ("metric", ">value"), rows)


def data(found: Mapping[str, Any]) -> Table:
    """What it was trained on, by fingerprint: never the data itself."""
    rows = [(name, *_fingerprint(each)) for name, each in found.items()]
    return Table("Training data", ("data", "what", "shape", ">size", "hash"), rows)


def _fingerprint(found: Any) -> tuple[str, str, str, str]:
    if not isinstance(found, Mapping):
        return str(found)[:100], "", "", ""
    what = found.get("type") or found.get("kind") or ""
    shape, length, digest = found.get("shape"), found.get("bytes"), found.get("hash")
    return (
        " ".join(filter(None, (str(what)[:100], str(found.get("dtype") or "")[:100]))),
        " by ".join(map(str, shape[:8])) if isinstance(shape, list) else "",
        size(length) if isinstance(length, int) and length >= 0 else "",
        str(digest or "")[:HASH],
    )


def environment(found: Mapping[str, Any]) -> dict[str, str]:
    """The environment, as facts."""
    packages, git = found.get("packages"), found.get("git")
    shown = {name: value for name, value in found.items() if name not in ("packages", "git", "random")}
    facts = {name: _plain(value) for name, value in shown.items()}
    if isinstance(packages, dict):
        facts["packages"] = ", ".join(f"{distribution(name)} {version}" for name, version in packages.items())
    if isinstance(git, dict):
        changed = " (with changes)" if git.get("dirty") else ""
        facts["git commit"] = f"{git.get('commit') or ''}{changed}"
    return facts


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(each)}" for name, each in list(value.items())[:NAMED])
    return ", ".join(map(_plain, value[:NAMED])) if isinstance(value, list | tuple) else str(value)[:500]


def _lineage(version: Version, bases: Sequence[Version]) -> dict[str, str]:
    parts = [f"{name} {part.number:,}" for name, part in version.parts.items()]
    more = f" and {len(bases) - NAMED:,} more" if len(bases) > NAMED else ""
    return {
        "parent": "" if version.parent is None else f"{version.model}@{version.parent}",
        "versions of its parts": ", ".join(parts),
        "shares tensors with": ", ".join(map(str, bases[:NAMED])) + more,
    }


def _signatures(verdicts: Mapping[str, str]) -> Page:
    """Who signed it, and whether that held when the card was made. Whose key it is, the card cannot say."""
    rows = [(brief(key), verdict) for key, verdict in verdicts.items()]
    return [Table("Signatures", ("signed by", "signature"), rows)] if rows else []
