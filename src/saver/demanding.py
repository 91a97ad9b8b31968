"""What a store or a call demands of signatures, held against versions as they are opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from msgspec.structs import replace

from saver.arguments import path_of
from saver.errors import DamagedError
from saver.opened import Opened, open_version
from saver.repo import changing
from saver.repo.events import Event, Roles
from saver.repo.refs import BadNameError
from saver.repo.repository import Repository
from saver.repo.signer import Signer
from saver.repo.signing import demand_signed, sign_version, signing_with
from saver.repo.state.rights import RIGHTS, is_right
from saver.repo.version import Version
from saver.signed import statement
from saver.signing.heads import Heads
from saver.signing.keys import BadKeyError, KeySource, optional_key, public_key, signing_key
from saver.signing.policy import NOT_LOADED, Policy, SignedBy, by_keys, policy_of

KEY = "SAVER_SIGN_KEY"
"""The environment variable that names the key that signs what a process writes into stores, by default."""

T = TypeVar("T")


def demand(repo: Repository, trust_file: str | os.PathLike[str] | None) -> None:
    """Let a repository demand what a trust file says; by default that which the environment names."""
    policy = policy_of(None if trust_file is None else path_of("trust_file", trust_file))
    if policy is not None:
        repo.signer = Signer(str(repo.storage), None, policy)
        repo.state.alone = True


def sign_with(repo: Repository, sign: KeySource | None) -> None:
    """Let a repository sign with a key; by default that which the environment names."""
    key = optional_key("sign", sign if sign is not None else os.environ.get(KEY) or None)
    if key is not None:
        repo.signer = Signer(str(repo.storage), key, repo.signer.policy)


def with_key(repo: Repository, sign: KeySource | None) -> Repository:
    """The repository, whose versions and records the key `sign` signs, if one is passed."""
    return signing_with(repo, optional_key("sign", sign))


def open_signed(
    repo: Repository, ref: str | Version, name: str = "ref", signed_by: SignedBy = None, demands: bool = True,
    done: str = NOT_LOADED,
) -> Opened:  # fmt: skip
    """Open the version that a ref names. Raises SignatureError if signatures are missing that the policy of
    the store, or `signed_by`, demands; not if nothing is to be built of it, so that it `demands` nothing.
    `done` is what the error says was not done."""
    asked = by_keys(signed_by)
    if asked is not None:
        repo.signer.heads = repo.signer.heads or Heads()
    version = changing.find(repo, ref, name)
    opened = open_version(repo, version)
    if demands:
        demand_opened(repo, opened, asked, done)
    return opened


def demand_opened(
    repo: Repository, opened: Opened, asked: Policy | None = None, done: str = NOT_LOADED
) -> None:
    """Raise SignatureError unless an opened version has the signatures that are demanded: for the tags that
    it had as it was found, too, since its ref may be one of those, and they may have been moved meanwhile."""
    if repo.signer.policy is not None or asked is not None:
        version = repo.version(f"{opened.manifest.model}@{opened.manifest.number}")
        if version.manifest != opened.hash:
            raise DamagedError(f"{opened.where}: the log names another version by now; load it again")
        version = replace(version, tags=(*version.tags, *opened.tags))
        demand_signed(repo, version, partial(statement, opened), asked, done)


def demanding(repo: Repository, signed_by: SignedBy, restore: Callable[..., T]) -> Callable[..., T]:
    """Restores an opened version, once it has the signatures that are demanded."""
    asked = by_keys(signed_by)
    if asked is not None:
        repo.signer.heads = repo.signer.heads or Heads()

    def demanded(opened: Opened, *args: Any, **kwargs: Any) -> T:
        demand_opened(repo, opened, asked)
        return restore(opened, *args, **kwargs)

    return demanded


def sign(repo: Repository, ref: str | Version, key: KeySource) -> Version:
    """Sign a version."""
    return sign_version(signing_with(repo, signing_key("key", key)), ref)


def grant(repo: Repository, key: KeySource, rights: tuple[str, ...]) -> None:
    """Let a public key have these rights and no others; without any, it has none. The first grant begins the
    roles: it lets the repository's own key grant as well."""
    public = public_key("key", key)
    for right in rights:
        if not isinstance(right, str) or not is_right(right):
            raise BadNameError(
                f"rights: {right!r:.80} is not a right; pass some of {', '.join(RIGHTS)}, or tag:NAME"
            )
    if repo.signer.key is None:
        raise BadKeyError("sign: a grant must be signed; open the store with saver.Saver(..., sign=FILE)")
    own = repo.signer.key.public

    def decide() -> Event | None:
        roles = repo.state.roles
        grants = {public: tuple(dict.fromkeys(rights))}
        if not roles and "grant" not in grants.get(own, ()):
            grants[own] = (*grants.get(own, ()), "grant")
        return None if all(roles.get(each, ()) == found for each, found in grants.items()) else Roles(grants)

    repo.append(decide)
