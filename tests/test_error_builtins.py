"""Whoever catches the builtin that fits catches Saver's error too, and none is taken for another."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

import saver
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
    "BadInputError": {ValueError},
    "PredictionsDifferError": {ValueError},
    "DamagedError": {ValueError},
    "IncompatibleError": {ValueError},
    "WrongKeyError": {PermissionError, OSError},
    "KeyNeededError": {PermissionError, OSError},
    "SignatureError": {PermissionError, OSError},
    "LostRankError": {RuntimeError},
    "CommitUnknownError": {OSError},
}

ALL = [
    found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, SaverError) and found.__name__ in errors.__doc__
    and found is not SaverError
]  # fmt: skip


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


@pytest.mark.parametrize("error", [each for each in ALL if issubclass(each, OSError)])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_it_has_the_number_of_the_error_that_it_replaces(error: type[SaverError], number: int) -> None:
    def replaced(cause: bool) -> None:
        try:
            raise OSError(number, "reason")
        except OSError as reason:
            raise error("place") from (reason if cause else None)

    for cause in (True, False):
        with pytest.raises(OSError, match="place") as caught:
            replaced(cause)
        assert caught.value.errno == (errno.ENOENT if error is errors.NotFoundError else number)
        assert str(caught.value) == "place"


def test_what_fails_by_itself_has_no_number_of_something_else() -> None:
    try:
        raise OSError(errno.EIO, "unrelated")
    except OSError:
        with pytest.raises(errors.CannotWriteError) as caught:
            raise errors.CannotWriteError("place")  # noqa: B904 - it is not the reason
    assert caught.value.errno is None


def test_every_system_call_that_fails_passes_its_number_on(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="there is no such file") as caught:
        saver.load(tmp_path / "none.saver")
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(OSError, match="create the folder") as caught:
        saver.dump(1, tmp_path / "none" / "a.saver")
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(OSError, match="no store") as caught:
        saver.Saver(tmp_path / "store").load("none")
    assert caught.value.errno == errno.ENOENT


def test_the_errors_of_commits_and_rehearsals_have_builtins_too() -> None:
    from saver.rehearsal.script import RehearsalError
    from saver.repo.refused import CondemnedError

    assert issubclass(CondemnedError, RuntimeError)
    assert issubclass(RehearsalError, RuntimeError)
