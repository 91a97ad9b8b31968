"""Saves what a file holds, of Saver or of another tool, as a version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from saver import encoding
from saver.clear import warn_of_import
from saver.details import details_of
from saver.opening import open_file
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.version import Version, number_of
from saver.storage import Progress
from saver.streams import Source


def import_file(
    repo: Repository, path: Source, model: str, format: str | None, tags: Iterable[str],
    key: Any, progress: Progress | None,
) -> Version:  # fmt: skip
    """Save the content of a file as the next version of a model."""
    opened = open_file(path, format, key)
    warn_of_import(opened, repo)
    found = opened.manifest
    metrics = {name: number_of(value) for name, value in found.metrics.items()}
    details = details_of(model, found.step, metrics, tags, None, found.notes)
    draft = encoding.draft_opened(model, opened, repo.author, progress, **details)
    return save_version(repo, draft, progress)
