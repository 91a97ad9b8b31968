"""Whoever catches the builtin that fits catches Saver's error too, and none is taken for another."""

from __future__ import annotations

import pytest

from saver import errors
from saver.errors import SaverError

BUILTINS = {
    "CannotSaveError": {TypeError},
    "CannotWriteError": {OSError},
    "CannotReadError": {OSError},
    "NotFoundError": {FileNotFoundError, LookupError, OSError},
    "DoesNotFitError": {ValueError},
    "UntrustedError": {ValueError},
    "LimitExceededError": {ValueError},
    "TaggedError": {ValueError},
    "DamagedError": {ValueError},
    "IncompatibleError": {ValueError},
    "CommitUnknownError": {OSError},
}

ALL = [
    found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, SaverError) and found is not SaverError
]


def test_every_error_is_in_the_table() -> None:
    assert {error.__name__ for error in ALL} == set(BUILTINS)


@pytest.mark.parametrize("error", ALL)
def test_an_error_is_its_builtin_and_saver_error_and_no_other(error: type[SaverError]) -> None:
    builtins = {base for base in error.__mro__ if base.__module__ == "builtins"}
    assert builtins - {object, BaseException, Exception} == BUILTINS[error.__name__]
    assert error.__name__.endswith("Error")


@pytest.mark.parametrize("error", ALL)
def test_its_message_is_all_that_is_shown_whatever_the_builtin_does_with_it(error: type[SaverError]) -> None:
    assert str(error("models: no such\x1b[2J place")) == "models: no such\\x1b[2J place"


@pytest.mark.parametrize("error", ALL)
def test_its_code_is_its_name(error: type[SaverError]) -> None:
    words = "".join(f"-{char.lower()}" if char.isupper() else char for char in error.__name__)
    assert words == f"-{error.code}-error"
