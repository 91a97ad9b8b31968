"""Where a version comes from, and who uses it, as far as the store knows: parents and shared tensors."""

from __future__ import annotations

from collections.abc import Iterator

from saver.repo.repository import Repository
from saver.repo.version import Version

GAP = 1000
"""Numbers after that of a version in which a version is looked for that has it as its parent: others may have
been deleted, or given up."""


def sharing(repo: Repository, version: Version) -> Iterator[Version]:
    """The versions of other models that need packs of this one, each once, read while the caller wants more.
    Hold `repo.users.lock` meanwhile."""
    found = set[tuple[str, int]]()
    repo.users.refresh()
    for pack in version.packs:
        for name in repo.users.of(pack):
            if name[0] != version.model and name not in found:
                found.add(name)
                yield repo.users.version(name)


def child(repo: Repository, version: Version) -> str | None:
    """The next version of the model, if this one is its parent."""
    for number in range(version.number + 1, version.number + GAP):
        state = repo.state.version(version.model, number)
        if state is not None:
            return f"{version.model}@{number}" if state.parent == version.number else None
    return None


def alone(repo: Repository, version: Version) -> list[str]:
    """The packs that no other version needs: once it is deleted, a collection frees them."""
    own = (version.model, version.number)
    with repo.users.lock:
        repo.users.refresh()
        return [pack for pack in version.packs if all(name == own for name in repo.users.of(pack))]
