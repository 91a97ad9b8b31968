"""Holds what is said of who made and signed a version against the version itself, for listings, which build
nothing: whose signatures hold, and whether they are those that a trust file demands. Until then an author is
only what the writer of a record called themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from msgspec.structs import replace

from saver.errors import SaverError
from saver.repo.history import Summary
from saver.repo.repository import Repository
from saver.repo.signing import statement_in
from saver.repo.version import Version
from saver.signing.signatures import Signature, failures
from saver.signing.statement import Statement

HOLDS = "holds"
GONE = "the version was deleted"


def verdicts(repo: Repository, version: Version | None, signatures: Iterable[Signature]) -> Mapping[str, str]:
    """By key, whether its signature of a version holds, as `held` says it. None: the version is gone."""
    given = tuple(signatures)
    if version is None:
        return {each.key: f"not checked: {GONE}" for each in given}
    return held(given, lambda: statement_in(repo, version))


def held(signatures: Sequence[Signature], statement: Callable[[], Statement]) -> Mapping[str, str]:
    """By key, whether its signature of a statement holds: "holds", or why it does not, or why that could not
    be found out. The statement is made if there are signatures."""
    if not signatures:
        return {}
    try:
        found = failures(signatures, statement())
    except SaverError as error:  # who did what can be listed all the same
        return {each.key: f"not checked: {error}" for each in signatures}
    return {key: why or HOLDS for key, why in found.items()}


def lacking(repo: Repository, version: Version) -> str:
    """What the trust file of a store demands of a version and it lacks; "" if that is nothing."""
    policy = repo.signer.policy
    rules = policy.rules_for(version.model, version.tags) if policy is not None else []
    if not rules:
        return ""
    said = verdicts(repo, version, version.signatures)
    found = {key: "" if verdict == HOLDS else verdict for key, verdict in said.items()}
    return "; ".join(lack for rule in rules if (lack := rule.lacks(found)))


def lacking_when_gone(repo: Repository, model: str) -> str:
    """The same of a version that was deleted: nothing can be held against it any more."""
    policy = repo.signer.policy
    return GONE if policy is not None and policy.rules_for(model, ()) else ""


def vouched(repo: Repository, version: Version) -> Version:
    """The version, which says what it lacks."""
    lack = lacking(repo, version)
    return replace(version, unverified=lack) if lack else version


S = TypeVar("S", bound=Summary)


def summed(repo: Repository, summary: S) -> S:
    """The summary of a model, whose newest version says what it lacks."""
    return replace(summary, newest=vouched(repo, summary.newest))
