"""Judges records of the log that somebody sends: whether they follow, whether they are true, and whether
their sender may write them."""

from __future__ import annotations

from collections.abc import Iterable

from saver.errors import IncompatibleError, NotFoundError
from saver.repo.agreement import check_agreement
from saver.repo.bounds import check_time
from saver.repo.described import read_outline
from saver.repo.events import Commit, Condemn, Harm, Holders, Relocate, Roles, Void
from saver.repo.gc.condemning import is_needed
from saver.repo.log import Record
from saver.repo.manifest import manifest_key
from saver.repo.objects import is_collectable, pack_key, tree_key
from saver.repo.refs import BadNameError
from saver.repo.repository import Repository
from saver.repo.state.effects import changes_of
from saver.repo.state.rights import refusal
from saver.repo.state.values import version_state
from saver.repo.version import from_state
from saver.serve.refusals import Refusal
from saver.serve.storing.claims import Claims
from saver.serve.storing.plain import WHERE, demand_plain
from saver.storage import Storage


def demand_right(record: Record, claims: Claims) -> None:
    """Raise Refusal unless a token gives the right to a record. Whatever changes what others rely on needs
    `admin`: who may do what, what is collected, where bytes are read."""
    event = record.event
    match event:
        case Void():  # its transaction is random: only the ranks of the save that is given up know it
            claims.demand_some("write")
        case Harm():
            claims.demand("write", None)
        case Condemn() | Relocate() | Roles() | Holders():
            claims.demand("admin", None)
        case _:
            claims.demand("write", event.model)


def judge(repo: Repository, storage: Storage, record: Record, claims: Claims) -> None:
    """Raise Refusal, DamagedError or IncompatibleError unless a record may be the next one of the log. The
    state of `repo` is that before it; `storage` has the objects."""
    state = repo.state
    head, digest = state.last()
    if record.number != head + 1 or record.previous != digest:
        raise Refusal("bad-object", f"{WHERE} does not follow record {head:,}, which is the last")
    demand_right(record, claims)
    void = refusal(record, state.roles, state.tags)
    if void:
        raise Refusal("forbidden", f"{WHERE} would be void, as {void}")
    changes_of(record, state, WHERE)
    demand_plain(record, state)
    match record.event:
        case Commit() as event:
            _demand_whole(repo, storage, record, event)
        case Condemn(objects):
            _demand_unneeded(repo, objects)
        case Relocate() as event:
            _demand_there(
                repo, storage, [pack_key(move[2]) for some in event.moves.values() for move in some]
            )
            _demand_collectable(event.objects)
        case Holders(bundle):
            if storage.stat(f"keys/{bundle}.age") is None:
                raise Refusal("bad-object", f"{WHERE} names keys that are not there")


def _demand_whole(repo: Repository, storage: Storage, record: Record, event: Commit) -> None:
    """Everything that a version needs must be there, and its manifest must say what its record says."""
    if repo.state.void(record.transaction) is not None:
        raise Refusal("bad-object", f"{WHERE} is of a save that was given up")
    version = from_state(event.model, event.number, version_state(record, event, WHERE), event.tags)
    needed = [manifest_key(version.manifest, version.file), *map(pack_key, version.packs)]
    there = _demand_there(repo, storage, [*needed, *map(tree_key, version.trees)])
    if event.bytes_added > there:
        raise Refusal(
            "bad-object",
            f"{WHERE} says that more bytes were added than there are",
        )
    try:
        found = read_outline(storage, version)
        check_agreement(version, found)
        check_time(found.manifest.time)
    except BadNameError as error:
        raise Refusal("bad-object", f"{WHERE}: its manifest: {error}") from None
    except NotFoundError as error:
        raise Refusal("bad-object", f"{WHERE} needs what is not there: {error}") from None


def _demand_there(repo: Repository, storage: Storage, keys: Iterable[str]) -> int:
    """Raise an error unless all of these objects are there. Returns how many bytes they have."""
    size = 0
    listed = [*dict.fromkeys(keys)]
    for key, stat in zip(listed, storage.stats(*listed), strict=True):
        if not is_collectable(key):
            raise IncompatibleError(f"{WHERE} needs {key[:80]!r}, which no version can need")
        if repo.state.gone(key) is not None:
            raise Refusal("bad-object", f"{WHERE} needs {key}, which was condemned")
        if stat is None:
            raise Refusal("bad-object", f"{WHERE} needs {key}, which is not there")
        size += stat.size
    return size


def _demand_collectable(objects: Iterable[str]) -> None:
    for key in objects:
        if not is_collectable(key):
            raise IncompatibleError(f"{WHERE} condemns {key[:80]!r}, which is not an object of a version")


def _demand_unneeded(repo: Repository, objects: Iterable[str]) -> None:
    listed = [*objects]
    _demand_collectable(listed)
    with repo.users.lock:
        repo.users.refresh()
        for key in listed:
            if is_needed(repo, key):
                raise Refusal("bad-object", f"{WHERE} condemns {key}, which a version needs")
