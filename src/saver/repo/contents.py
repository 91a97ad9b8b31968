"""Everything that the documents of a version say."""

from __future__ import annotations

from typing import NamedTuple

from saver.errors import NotFoundError, SaverError
from saver.repo.described import Described
from saver.repo.manifest import Part, manifest_key
from saver.repo.objects import tree_key
from saver.repo.repository import Repository
from saver.repo.version import Version


class Contents(NamedTuple):
    """What the documents of a version say, or what is wrong with the one that is stored under the key `at`.
    `parts` have the content of their documents; those with a damaged one are `lost`, and what is wrong is
    beside its key."""

    at: str
    found: Described | SaverError
    parts: dict[str, Part]
    lost: dict[str, tuple[str, SaverError]]


def read_contents(repo: Repository, version: Version) -> Contents:
    """Read all documents of a version. NotFoundError stands for a version that was deleted meanwhile."""
    key = at = manifest_key(version.manifest, version.file)
    parts, lost = dict[str, Part](), dict[str, tuple[str, SaverError]]()
    try:
        found = repo.outline(version)
        for page in (*found.pages, ""):
            at = tree_key(page) if page else key
            found.load(page)
        for name, part in found.manifest.parts.items():
            try:
                parts[name] = repo.filled(version, part)
            except NotFoundError:
                raise
            except SaverError as error:
                lost[name] = tree_key(part.document), error
    except SaverError as error:
        return Contents(at, error, {}, {})
    return Contents(key, found, parts, lost)
