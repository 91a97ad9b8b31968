"""What is asked of live objects, whose code may fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from saver.errors import DoesNotFitError


def ask(where: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a method of the target. Raises DoesNotFitError if it fails, since that does not mean that the
    saved bytes are damaged."""
    try:
        return function(*arguments, **options)
    except Exception as error:
        name = getattr(function, "__qualname__", function)
        raise DoesNotFitError(f"{where}: {name} failed: {type(error).__name__}: {error}") from error
