"""Refs, models and tags as callers give them: a wrong one is a TypeError or ValueError that names the
argument."""

from __future__ import annotations

from typing import Any

from saver.repo.refs import BadNameError, check_model, check_tag, parse_ref
from saver.repo.version import Version


def ref_of(name: str, value: Any) -> str:
    """The ref of a version, which may be given as it is."""
    if isinstance(value, Version):
        return str(value)
    if not isinstance(value, str):
        raise TypeError(
            f"{name}: a {type(value).__name__} is not a ref; pass a text as in 'iris@3', or a Version"
        )
    try:
        parse_ref(value)
    except BadNameError as error:
        raise BadNameError(f"{name}: {error}") from None
    return value


def model_of(value: Any) -> str:
    """The name of a model."""
    if not isinstance(value, str):
        way = ": pass its `model`" if isinstance(value, Version) else "; pass a text as in 'iris'"
        raise TypeError(f"model: a {type(value).__name__} is not the name of a model{way}")
    try:
        check_model(value)
    except BadNameError as error:
        raise BadNameError(f"model: {error}") from None
    return value


def tag_of(name: str, value: Any) -> str:
    """A tag."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: a {type(value).__name__} is not a tag; pass a text as in 'production'")
    try:
        check_tag(value)
    except BadNameError as error:
        raise BadNameError(f"{name}: {error}") from None
    return value
