"""What a user demands: which models and tags need the signatures of whom. It lies outside of every store.

[keys]
alice = "alice.pub"                 # a file beside this one, or the text of a key
bob = "ed25519:1f0c…"

[[require]]
models = ["payroll", "team/*"]      # missing: every model
tags = ["production"]               # missing: every version, whatever its tags
signatures = 2                      # missing: 1
of = ["alice", "bob"]               # missing: all keys
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

import msgspec

from saver import configuration
from saver.errors import CannotReadError, IncompatibleError, NotFoundError, SignatureError
from saver.signing.keys import KeySource, brief, public_key, public_keys

VARIABLE = "SAVER_TRUST_FILE"
"""The environment variable that names the trust file; else `trust_file` of the user's configuration does."""

SignedBy: TypeAlias = "KeySource | Iterable[KeySource] | None"


class Rule(msgspec.Struct, frozen=True):
    """Versions of these models, with one of these tags if there are any, need so many signatures of these
    keys, which are by name."""

    keys: Mapping[str, str]
    count: int = 1
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def covers(self, model: str, tags: Iterable[str]) -> bool:
        """Whether a version of this model, with these tags, is one of them."""
        named = not self.models or any(fnmatchcase(model, each) for each in self.models)
        return named and (not self.tags or any(fnmatchcase(t, each) for t in tags for each in self.tags))

    def lacks(self, found: Mapping[str, str]) -> str:
        """What is missing, given by key why its signature does not hold ("": it does); "" if nothing is."""
        holding = [name for name, key in self.keys.items() if found.get(key) == ""]
        if len(holding) >= self.count:
            return ""
        wanted = ", ".join(
            f"{name} ({brief(key)})" if name != brief(key) else name for name, key in self.keys.items()
        )
        failed = [f"that of {name}: {found[key]}" for name, key in self.keys.items() if found.get(key)]
        if failed:
            return f"a signature does not hold ({'; '.join(failed)}); needed: {self.count} of {wanted}"
        if holding:
            return (
                f"it has {len(holding)} of {self.count} needed signatures ({', '.join(holding)}), of {wanted}"
            )
        if not found:
            return f"it has no signature; needed: {self.count} of {wanted}"
        others = ", ".join(map(brief, sorted(found)))
        return f"it is signed by someone else ({others}); needed: {self.count} of {wanted}"


NOT_LOADED = "nothing was loaded"
NOT_VERIFIED = "its bytes were not read"
"""What was not done, if what is missing keeps a load, or `verify`, from it."""


class Policy(msgspec.Struct, frozen=True):
    """What must hold of the versions of a store; `where` says where that stands."""

    rules: tuple[Rule, ...]
    where: str

    def rules_for(self, model: str, tags: Iterable[str]) -> list[Rule]:
        """The rules about a version of a model with these tags."""
        there = tuple(tags)
        return [rule for rule in self.rules if rule.covers(model, there)]

    def demand(self, what: str, rules: Iterable[Rule], found: Mapping[str, str], done: str) -> None:
        """Raise SignatureError, which names what is missing, unless all rules are met; `done` says what was
        not done."""
        lacking = [lack for rule in rules if (lack := rule.lacks(found))]
        if lacking:
            raise SignatureError(
                f"{what}: {'; '.join(lacking)}; so {done}; {self.where} demands it: have it signed "
                "(`saver sign REF --key FILE`), or use a version that is"
            )


def by_keys(signed_by: SignedBy) -> Policy | None:
    """The demand that one of these keys signed; None if there are none to demand."""
    if signed_by is None:
        return None
    keys = public_keys("signed_by", signed_by)
    if not keys:
        raise ValueError("signed_by: it is empty; pass public keys, or None")
    return Policy((Rule({brief(key): key for key in keys}),), "signed_by")


def policy_of(trust_file: str | os.PathLike[str] | None) -> Policy | None:
    """The policy of a trust file: the one that is passed, else that of the environment, else that of the
    user's configuration. None if there is none."""
    named = trust_file if trust_file is not None else os.environ.get(VARIABLE) or configuration.trust_file()
    return read_policy(os.fsdecode(named)) if named else None


def read_policy(path: str) -> Policy:
    """The policy in a file. Raises NotFoundError, CannotReadError, or IncompatibleError if it is not one: a
    rule that is not understood must not count as met."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise NotFoundError(f"{path}: there is no such trust file; write one (docs/security.md)") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotReadError(f"{path}: the trust file cannot be read: {reason}") from error
    import tomllib

    try:
        settings = tomllib.loads(data.decode())
        keys = _keys(settings.pop("keys", {}), os.path.dirname(path))
        rules = tuple(_rule(each, keys) for each in _tables(settings.pop("require", [])))
        _demand_known(settings, "it")
    except ValueError as error:
        if isinstance(error, IncompatibleError):
            raise
        raise IncompatibleError(f"{path}: {error}; correct it: docs/security.md shows one") from None
    return Policy(rules, path)


def _tables(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError("`require` is not a list of tables, each headed [[require]]")
    return value


def _demand_known(left: Mapping[str, Any], what: str) -> None:
    if left:
        raise ValueError(f"{what} has {', '.join(sorted(left))[:100]}, which this Saver does not know")


def _keys(value: Any, folder: str) -> dict[str, str]:
    if not isinstance(value, dict) or not value or not all(isinstance(each, str) for each in value.values()):
        raise ValueError('`keys` is not a table of public keys, with lines such as alice = "alice.pub"')
    found = {}
    for name, source in value.items():
        file = not source.startswith(("env:", "ed25519:", "p256:"))
        found[name] = public_key(f"keys.{name}", os.path.join(folder, source) if file else source)
    if len({*found.values()}) != len(found):
        raise ValueError("two names in `keys` are of one key, which would then count twice")
    return found


def _rule(table: dict[str, Any], keys: Mapping[str, str]) -> Rule:
    left = dict(table)
    models, tags = _names(left, "models"), _names(left, "tags")
    of = _names(left, "of") or tuple(keys)
    count = left.pop("signatures", 1)
    _demand_known(left, "[[require]]")
    unknown = [name for name in of if name not in keys]
    if unknown:
        raise ValueError(f"`of` names {unknown[0][:80]!r}, which is not among `keys`")
    if type(count) is not int or not 1 <= count <= len({*of}):
        raise ValueError(f"`signatures` is {count!r:.80}; it is a number from 1 to {len({*of})}")
    return Rule({name: keys[name] for name in of}, count, models, tags)


def _names(table: dict[str, Any], name: str) -> tuple[str, ...]:
    """A list of names; missing: empty. An empty one would demand nothing, or what nobody can give."""
    if name not in table:
        return ()
    value = table.pop(name)
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise ValueError(f'`{name}` is not a list of names, as in {name} = ["a", "b"]')
    return tuple(value)
