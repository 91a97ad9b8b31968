"""Whose signatures of a statement hold, and what a version or a file is therefore said to be."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from saver.page import Facts, Page, Said, Shown, Table
from saver.signing.keys import brief
from saver.signing.signatures import Signature, failures
from saver.signing.statement import Statement


class Verdict(Said, msgspec.Struct, frozen=True):
    """A signature by `key`; it `holds`, or `why` says why not."""

    key: str
    holds: bool
    why: str = ""

    def _line(self) -> str:
        return f"{brief(self.key)}: {'holds' if self.holds else self.why}"


class Verified(Shown, msgspec.Struct, frozen=True):
    """Who signed a version or a file, and whether that holds. `statement` is the hash of what was signed."""

    ref: str
    statement: str
    signatures: tuple[Verdict, ...]

    @property
    def signed_by(self) -> tuple[str, ...]:
        """The public keys whose signatures hold."""
        return tuple(each.key for each in self.signatures if each.holds)

    def _line(self) -> str:
        names = ", ".join(map(brief, self.signed_by))
        return (
            f"{self.ref}: whole, signed by {names}"
            if names
            else f"{self.ref}: whole, no signature that holds"
        )

    def _page(self) -> Page:
        rows = [(brief(each.key), "holds" if each.holds else each.why) for each in self.signatures]
        facts = {"bytes": "are those that were saved", "signatures": "" if rows else "none"}
        table = [Table("", ("signed by", "signature"), rows, brief=("signature",))] if rows else []
        return [Facts(self.ref, facts), *table]


def verdicts(statement: Statement, signatures: tuple[Signature, ...], ref: str) -> Verified:
    """Whose signatures of this statement hold."""
    found = failures(signatures, statement)
    digest = replace(statement, parents=parents_in(signatures, statement)).hash
    return Verified(ref, digest, tuple(Verdict(key, not why, why) for key, why in found.items()))


def parents_in(signatures: tuple[Signature, ...], statement: Statement) -> tuple[str, ...]:
    """The parents that the first signature names that holds: the others may say anything."""
    holding = failures(signatures, statement)
    return next((each.parents for each in signatures if not holding[each.key]), ())
