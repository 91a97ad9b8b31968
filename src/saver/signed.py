"""Signatures of what is opened: those that are demanded of files, and whether they hold."""

from __future__ import annotations

from saver.opened import Opened
from saver.repo.stated import statement_of
from saver.signing.policy import NOT_LOADED, SignedBy, by_keys, policy_of
from saver.signing.signatures import failures
from saver.signing.statement import Statement
from saver.signing.verdicts import Verified, verdicts
from saver.storage import Progress


def demand_file(opened: Opened, signed_by: SignedBy, demands: bool = True, done: str = NOT_LOADED) -> Opened:
    """An opened file. Raises SignatureError unless one of the keys `signed_by` signed it, and, if something
    is to be built of it, those whom the trust file of this process `demands`. The error says what was not
    `done`.

    A file is of the model that it says, and has no tags; one of another tool is of no model.
    """
    asked = by_keys(signed_by), policy_of(None) if demands else None
    wanted = [(each, each.rules_for(opened.manifest.model or "", ())) for each in asked if each is not None]
    if any(rules for _, rules in wanted):
        found = failures(opened.signatures, statement(opened)) if opened.signatures else {}
        for policy, rules in wanted:
            policy.demand(opened.where, rules, found, done)
    return opened


def verify(opened: Opened, ref: str, progress: Progress | None) -> Verified:
    """Read all tensors, and say whose signatures hold. Raises DamagedError."""
    opened.tensors.verify(progress=progress)
    return verdicts(statement(opened), opened.signatures, ref)


def statement(opened: Opened) -> Statement:
    """What signatures of an opened version or file cover."""
    return statement_of(opened.written, opened.tensors.info, opened.where)
