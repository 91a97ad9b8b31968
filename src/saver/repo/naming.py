"""Checks of refs, models, tags, labels and authors from callers: a wrong one is a TypeError or ValueError,
which names the argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, TypeAlias, TypeVar

from saver.canonical import in_order
from saver.errors import kind_of
from saver.repo.bounds import check_author
from saver.repo.entry import KINDS, Kind
from saver.repo.labels import check_labels
from saver.repo.refs import BadNameError, Ref, check_group, check_model, check_tag, parse_range, parse_ref
from saver.repo.version import Version

T = TypeVar("T")


def _checked(name: str, check: Callable[[Any], T], value: Any) -> T:
    """What `check` returns; its error names the argument."""
    try:
        return check(value)
    except BadNameError as error:
        raise BadNameError(f"{name}: {error}") from None


def ref_of(name: str, value: Any) -> Ref:
    """A ref, from a string or a Version."""
    if not isinstance(value, str | Version):
        raise TypeError(
            f"{name}: {kind_of(value)} is not a ref; pass a string such as 'iris@3', or a Version"
        )
    return _checked(name, parse_ref, str(value))


def several_of(name: str, value: Any) -> None:
    """A ref, or a range of versions."""
    if not isinstance(value, str) or _checked(name, parse_range, value) is None:
        ref_of(name, value)


def model_of(value: Any) -> str:
    """The name of a model."""
    if not isinstance(value, str):
        way = ": pass its `model`" if isinstance(value, Version) else "; pass a string such as 'iris'"
        raise TypeError(f"model: {kind_of(value)} is not the name of a model{way}")
    _checked("model", check_model, value)
    return value


def group_of(value: Any) -> str:
    """A group of models, or "", which means all."""
    if value == "":
        return ""
    if not isinstance(value, str):
        raise TypeError(f"group: {kind_of(value)} is not a name; pass a text as in 'fraud/'")
    _checked("group", check_group, value)
    return value


def kinds_of(names: tuple[str, ...]) -> frozenset[Kind]:
    """Kinds of entries of the log."""
    unknown = [name for name in names if name not in KINDS]
    if unknown:
        raise BadNameError(f"kinds: {unknown[0][:80]!r} is not a kind of record; write {', '.join(KINDS)}")
    return frozenset(kind for kind in KINDS if kind in names)


def tag_of(name: str, value: Any) -> str:
    """A tag."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: {kind_of(value)} is not a tag; pass a string such as 'production'")
    _checked(name, check_tag, value)
    return value


Labels: TypeAlias = Mapping[str, str | float]
"""Labels by key. Numbers become texts."""


def labels_of(value: Any) -> dict[str, Any]:
    """Labels by key, in the order of canonical JSON. Numbers are written as Python writes them."""
    if not isinstance(value, Mapping):
        raise TypeError(f'labels: {kind_of(value)} has no keys; pass a dict such as {{"team": "fraud"}}')
    texts = {key: _written(each) for key, each in value.items()}
    _checked("labels", check_labels, texts)
    return {key: texts[key] for key in in_order(texts)}


def _written(value: Any) -> Any:
    """A number as text; anything else unchanged, truth values included."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(int(value))
    return repr(float(value)) if isinstance(value, Real) and not isinstance(value, bool) else value


def author_of(value: Any) -> str:
    """The name of an author."""
    if not isinstance(value, str):
        raise TypeError(f"author: {kind_of(value)} is not a name; pass a text as in 'ann'")
    _checked("author", check_author, value)
    return value
