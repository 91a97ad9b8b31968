"""Checks of refs, models and tags from callers: a wrong one is a TypeError or ValueError, which names the
argument."""

from __future__ import annotations

from typing import Any

from saver.repo.refs import BadNameError, check_model, check_tag, parse_ref
from saver.repo.version import Version


def ref_of(name: str, value: Any) -> str:
    """A ref, from a string or a Version."""
    if isinstance(value, Version):
        return str(value)
    if not isinstance(value, str):
        raise TypeError(
            f"{name}: a {type(value).__name__} is not a ref; pass a string such as 'iris@3', or a Version"
        )
    try:
        parse_ref(value)
    except BadNameError as error:
        raise BadNameError(f"{name}: {error}") from None
    return value


def model_of(value: Any) -> str:
    """The name of a model."""
    if not isinstance(value, str):
        way = ": pass its `model`" if isinstance(value, Version) else "; pass a string such as 'iris'"
        raise TypeError(f"model: a {type(value).__name__} is not the name of a model{way}")
    try:
        check_model(value)
    except BadNameError as error:
        raise BadNameError(f"model: {error}") from None
    return value


def tag_of(name: str, value: Any) -> str:
    """A tag."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: a {type(value).__name__} is not a tag; pass a string such as 'production'")
    try:
        check_tag(value)
    except BadNameError as error:
        raise BadNameError(f"{name}: {error}") from None
    return value
