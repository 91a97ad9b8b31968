"""Damaged shortcuts: found in a check, and written again. They only cost time, as the log says the same."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from blake3 import blake3

from saver.errors import CannotReadError, DamagedError, IncompatibleError, NotFoundError, SaverError
from saver.repo.format import demand
from saver.repo.objects import USERS, checkpoint_key
from saver.repo.packs import Damage
from saver.repo.repository import Repository
from saver.repo.state import RESERVE
from saver.repo.state.checkpoint import decoded

_SHORTCUT = "it is only a shortcut, which no version needs, and is written again; if that fails, delete it"


def verify_shortcuts(repo: Repository, keys: Iterable[str]) -> tuple[list[Damage], int]:
    """Verify the checkpoints and pages with these keys, which are all that were listed. Returns what is
    damaged or missing, and how many bytes were read."""
    storage, state = repo.storage, repo.state
    damage, read = list[Damage](), 0
    for key in keys:
        try:
            data = storage.read(key)
            read += len(data)
            _verify(key, data, f"{storage}: {key}")
        except NotFoundError:
            continue
        except (DamagedError, IncompatibleError, CannotReadError) as error:
            damage.append(Damage(key, f"{error}; {_SHORTCUT}", rule=error.rule or ""))
    there = set(keys)
    for shortcuts in (state.shortcuts, repo.users.shortcuts):
        for key, number in shortcuts.missing_pages(state.head, there):
            what = f"{storage}: {key} is missing, which {shortcuts.key(number)} needs"
            damage.append(Damage(key, f"{what}; {_SHORTCUT}"))
    return damage, read


def _verify(key: str, data: bytes, where: str) -> None:
    """Raise DamagedError or IncompatibleError unless these are the bytes of a page or a checkpoint."""
    if key.startswith("state/pages/"):
        if f"/{blake3(data).hexdigest()}." not in key:
            raise DamagedError(f"{where}: the bytes are not those that were written")
    elif key not in RESERVE:
        found = decoded(key, data, where)
        if key not in (checkpoint_key(found.number), checkpoint_key(found.number, USERS)):
            raise DamagedError(f"{where} is that of record {found.number}")


def mend_shortcuts(repo: Repository, damaged: Iterable[str]) -> None:
    """Write damaged checkpoints again, and let the next collection write those of who needs what; if that is
    not permitted, they are only reported."""
    with suppress(SaverError):
        demand(repo.storage, repo.format().write, "write to")
        repo.users.shortcuts.delete_all()
        repo.state.make_anew()
        repo.storage.delete(*(set(damaged) - repo.state.needed()))
