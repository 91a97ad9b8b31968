"""Signs versions, says whose signatures hold, and refuses those that lack what a policy demands."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from saver.errors import SaverError
from saver.repo import changing
from saver.repo.changing import find, found
from saver.repo.draft import Details
from saver.repo.events import Commit, Event, Sign
from saver.repo.manifest import part_hash
from saver.repo.repository import Repository
from saver.repo.staged import Staged
from saver.repo.stated import stated, statement_of
from saver.repo.version import Version
from saver.signing.heads import Heads
from saver.signing.keys import SigningKey
from saver.signing.policy import NOT_LOADED, Policy
from saver.signing.signatures import LIMIT, Signature, failures, sign
from saver.signing.statement import Statement
from saver.signing.verdicts import parents_in
from saver.tensors import TensorInfo

NOT_TAGGED = "the tag was not set"


R = TypeVar("R", bound=Repository)


def signing_with(repo: R, key: SigningKey | None) -> R:
    """The same repository, whose versions and records this key signs; None changes nothing."""
    if key is None:
        return repo
    other = copy.copy(repo)
    other.signer = copy.copy(repo.signer)
    other.signer.key = key
    other.signer.heads = repo.signer.heads or Heads()
    return other


# What is saved


def with_signatures(
    repo: Repository, event: Commit, details: Details, staged: Staged | None, infos: Mapping[str, TensorInfo]
) -> Commit:
    """The commit of a version, with its signatures: those that it has from another store, and that of the
    repository's key. Without `staged` it cannot be read whole yet, and is signed later. Raises SignatureError
    if one of its tags demands others."""
    policy = repo.signer.policy
    rules = _tag_rules(repo, event.model, event.tags)
    signatures = details.signatures
    if staged is not None and (rules or repo.signer.key is not None):
        parts = staged.parts.items()
        hashes = {name: part_hash(part.content, infos, part.tensors) for name, part in parts}
        statement = stated(event.model, hashes, staged.whole, (), {
            "author": details.author, "data": details.data, "environment": details.environment,
            "metrics": event.metrics, "step": details.step, "time": details.time,
        })  # fmt: skip
        signatures = _with_own(repo, signatures, statement, event.parent)
    if rules and policy is not None:
        found = failures(signatures, statement) if staged is not None else {}
        policy.demand(f"{repo.storage}: {event.model}@{event.number}", rules, found, "it was not saved")
    return replace(event, signatures=signatures)


def _with_own(
    repo: Repository, signatures: tuple[Signature, ...], statement: Statement, parent: int | None
) -> tuple[Signature, ...]:
    """These signatures, and that of the repository's key, if it has one."""
    if repo.signer.key is None:
        return signatures
    parents = parents_of(repo, statement.model, parent) or parents_in(signatures, statement)
    own = sign(replace(statement, parents=parents), repo.signer.key)
    return (*(each for each in signatures if each.key != own.key), own)[-LIMIT:]


def parents_of(repo: Repository, model: str, parent: int | None) -> tuple[str, ...]:
    """The hash of the statement of the version before, with the parents that its first signature names that
    holds. A version that cannot be read any more is left out: what it says is not known."""
    state = repo.state.version(model, parent) if parent is not None else None
    if parent is None or state is None:
        return ()
    version = repo.version(f"{model}@{parent}")
    known = repo.signer.stated.get(model)
    if known is not None and known[:2] == (version.manifest, version.signatures):
        return (known[2],)
    try:
        found = statement_in(repo, version)
    except SaverError:
        return ()
    digest = replace(found, parents=parents_in(version.signatures, found)).hash
    repo.signer.stated[model] = (version.manifest, version.signatures, digest)
    return (digest,)


def statement_in(repo: Repository, version: Version) -> Statement:
    """The statement of a version, from its document; without parents."""
    described = repo.described(version)
    return statement_of(described.manifest, described.tensors.__getitem__, described.where)


# What was saved


def sign_version(repo: Repository, ref: str | Version, name: str = "ref") -> Version:
    """Sign a version with the repository's key: a record of the log, unless it signed it already."""
    assert repo.signer.key is not None
    version = find(repo, ref, name)
    statement = statement_in(repo, version)
    own = _with_own(repo, version.signatures, statement, version.parent)[-1]
    holding = failures(version.signatures, statement).get(own.key) == ""

    def decide() -> Event | None:
        found(repo, version)
        return None if holding else Sign(version.model, version.number, (own,))

    repo.append(decide)
    return repo.version(str(version))


def add_signatures(repo: Repository, version: Version, signatures: Iterable[Signature]) -> None:
    """Let a version have these signatures too, which it has in another store, if they hold: none takes the
    place of one that holds here, whatever the other store says."""
    new = [each for each in signatures if each not in version.signatures]
    if not new:
        return
    statement = statement_in(repo, version)
    here, there = failures(version.signatures, statement), failures(new, statement)
    good = [each for each in new if not there[each.key] and here.get(each.key) != ""]
    mended = [each for each in good if each.key in here]
    others = [each for each in good if each.key not in here][: LIMIT - len(here)]
    if mended or others:
        repo.append(lambda: Sign(version.model, version.number, (*mended, *others)))


# Policies


def _tag_rules(repo: Repository, model: str, tags: Iterable[str]) -> list[Any]:
    """The rules of the repository's policy about these tags."""
    if repo.signer.policy is None:
        return []
    return [rule for rule in repo.signer.policy.rules_for(model, tags) if rule.tags]


def tag(repo: Repository, ref: str | Version, name: str) -> None:
    """Let a tag name this version. Raises SignatureError if the policy demands signatures that it lacks."""
    changing.tag(repo, ref, name, lambda version: demand_for_tag(repo, version, name))


def demand_for_tag(repo: Repository, version: Version, tag: str, done: str = NOT_TAGGED) -> None:
    """Raise SignatureError if the policy demands signatures for this tag that the version lacks; `done` is
    what the error says was not done."""
    rules = _tag_rules(repo, version.model, (tag,))
    if rules and repo.signer.policy is not None:
        found = failures(version.signatures, statement_in(repo, version))
        repo.signer.policy.demand(f"{repo.storage}: {version}", rules, found, done)


def demand_signed(
    repo: Repository, version: Version, statement: Any, asked: Policy | None, done: str = NOT_LOADED
) -> None:
    """Raise SignatureError if a version lacks signatures that the policy of the repository, or the one that
    the caller `asked` for, demands. `statement` makes its statement."""
    wanted = [
        (policy, rules)
        for policy in (repo.signer.policy, asked)
        if policy is not None and (rules := policy.rules_for(version.model, version.tags))
    ]
    if wanted:
        found = failures(version.signatures, statement())
        for policy, rules in wanted:
            policy.demand(f"{repo.storage}: {version}", rules, found, done)
