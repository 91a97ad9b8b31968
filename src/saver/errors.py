"""The errors of Saver.

    SaverError                     everything that Saver raises on purpose
    ├── CannotSaveError            TypeError          an object, or a piece of one, has no data form
    ├── CannotWriteError           OSError            the bytes could not be made durable; nothing changed
    ├── CannotReadError            OSError            the system refuses to read the bytes; they may be sound
    ├── NotFoundError              FileNotFoundError, no such file, version, part or class
    │                              LookupError
    ├── DoesNotFitError            ValueError         what was saved does not fit the object to restore into
    ├── UntrustedError             ValueError         a file asks for a class that the policy does not allow
    ├── LimitExceededError         ValueError         loading would take more than its size warrants
    ├── TaggedError                ValueError         a version to delete has tags, which would go with it
    ├── BadInputError              ValueError         what a model is to predict does not fit its schema
    ├── PredictionsDifferError     ValueError         a model does not answer as it did when it was saved
    ├── DamagedError               ValueError         the bytes are not those that were saved
    ├── IncompatibleError          ValueError         the bytes are intact, but not understood here
    ├── WrongKeyError              PermissionError,   none of the keys that were passed opens what is sealed
    │                              OSError
    ├── KeyNeededError             PermissionError,   it is sealed, and no key was passed
    │                              OSError
    ├── SignatureError             PermissionError    a signature is missing or fails, or gives no right
    ├── LostRankError              RuntimeError       a process of several that save together does not answer
    └── CommitUnknownError         OSError            it is unknown whether a commit took place

    VersionWarning                 saved under another version of a package that its parts depend on

Each is also the builtin in the second column, so code that catches that goes on working; an OSError has
the `errno` of the system call that failed. `code` is the name in lower case with hyphens, without `Error`:
`cannot-save`; it is stable. Every message names the place, the fact and the next step, on one line of
`printable` text, whatever it quotes from a file.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from types import TracebackType
from typing import Any, ClassVar

MESSAGE_LIMIT = 20_000
"""Characters of a message: enough for a hundred classes that are not trusted, each named twice."""


def printable(text: str) -> str:
    """`text` on one line, with everything that could control a terminal (control, format and bidi
    characters, unassigned code points) escaped as in Python. Idempotent."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def with_article(name: str) -> str:
    """`an int`, `a list`."""
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def kind_of(value: object) -> str:
    """What messages call a value of the wrong type: `an int`, `None`."""
    return "None" if value is None else with_article(type(value).__name__)


def quoted(value: object, limit: int = 80) -> str:
    """A value that a caller passed, for a message: its first characters, in quotes if it is a text; its kind
    if it cannot be written, as where lists are nested too deep."""
    if isinstance(value, str):
        return repr(value[:limit])
    try:
        return repr(value)[:limit]
    except Exception:  # of the value's own code
        return kind_of(value)


def limited(text: str) -> str:
    """`text`, printable, and no longer than a message. If it is, its beginning and its end, where the next
    step is."""
    if len(text) > MESSAGE_LIMIT:  # before the scan of its characters, and again because escapes lengthen it
        text = _shortened(text)
    text = printable(text)
    return _shortened(text) if len(text) > MESSAGE_LIMIT else text


def _shortened(text: str) -> str:
    half = MESSAGE_LIMIT // 2 - 3
    return f"{text[:half]} […] {text[-half:]}"


class SaverError(Exception):
    """Any error that Saver raises on purpose. Its message is always printable. `rule` is the number of the
    rule of the format (`saver.rules`) that what was read breaks, if it breaks one that is known."""

    code: ClassVar[str] = "error"
    rule: str | None

    def __init__(self, message: str = "", *, rule: str | None = None) -> None:
        super().__init__(limited(message))
        self.rule = rule

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: IPython asks an exception for it. It ends at the line that called Saver;
        with SAVER_TRACEBACK=full, Saver's own lines follow, for reports of bugs."""
        full = os.environ.get("SAVER_TRACEBACK") == "full"
        found = self.__traceback__ if full else _outside(self.__traceback__)
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython is not None else None
        if shell is None:
            return traceback.format_exception(type(self), self, found)
        lines: list[str] = shell.InteractiveTB.structured_traceback(type(self), self, found, tb_offset=1)
        return lines


def _outside(found: TracebackType | None) -> TracebackType | None:
    """A traceback up to Saver's first frame; all of it if it begins in Saver."""
    frames = []
    while found is not None and found.tb_frame.f_globals.get("__name__", "").partition(".")[0] != "saver":
        frames.append(found)
        found = found.tb_next
    above = None if frames else found
    for each in reversed(frames):
        above = TracebackType(above, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return above


class CannotSaveError(SaverError, TypeError):
    """The object, or a piece of it, has no data form. The message names its path."""

    code = "cannot-save"


class _SystemError(SaverError, OSError):
    """An error of the system, or one like it. `errno` is that of the system call that failed, or None."""

    @property
    def errno(self) -> int | None:  # type: ignore[override]
        replaced = self.__context__ if self.__suppress_context__ else None
        found = getattr(self.__cause__ or replaced, "errno", None)
        return found if isinstance(found, int) else None


class CannotWriteError(_SystemError):
    """The bytes could not be made durable; what was there before is untouched."""

    code = "cannot-write"


def is_full(error: CannotWriteError) -> bool:
    """Whether the device has no room left, or the user no quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


class CannotReadError(_SystemError):
    """The system could not read the bytes: a missing permission, a lost connection. They may be sound."""

    code = "cannot-read"


class NotFoundError(_SystemError, FileNotFoundError, LookupError):
    """There is no such file, version, part or class. `errno` is ENOENT."""

    code = "not-found"

    @property
    def errno(self) -> int:  # type: ignore[override]
        return errno.ENOENT


class DoesNotFitError(SaverError, ValueError):
    """What was saved does not fit the object that it was to be restored into, or that object refused it.

    Nothing was changed, unless the message names what had been restored by then. `report`, a
    `saver.restoring.Report`, says what fits and what does not; None where the kinds differ.
    """

    code = "does-not-fit"

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report


class UntrustedError(SaverError, ValueError):
    """The file asks for classes or functions that the trust policy does not allow.

    `names` holds all of them, sorted, as you would write them in `trust=[...]`; printable, like the message.
    """

    code = "untrusted"

    def __init__(self, message: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.names = tuple(map(printable, names))


class LimitExceededError(SaverError, ValueError):
    """Loading needs more memory or work than the size of the file or version warrants.

    The message says which part needs how much. If you trust the file, allow it with `limit=`.
    """

    code = "limit-exceeded"


class TaggedError(SaverError, ValueError):
    """A version to delete has tags, and the caller did not say that they may be deleted with it. Nothing was
    deleted.
    """

    code = "tagged"


class BadInputError(SaverError, ValueError):
    """Inputs do not fit the schema of a model, which never saw them.

    `problems` says of each value, up to a limit, in which row and column it stands, what was wanted there,
    and what came: `saver.schema.Problem`.
    """

    code = "bad-input"

    def __init__(self, message: str, problems: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class PredictionsDifferError(SaverError, ValueError):
    """A loaded model does not answer its golden predictions as it did when it was saved. The message says by
    how much, and what is different here."""

    code = "predictions-differ"


class DamagedError(SaverError, ValueError):
    """The bytes are not those that were saved: they do not match their hash, are missing or cut off, cannot
    be read from the disk, or are stored where the bytes of another file, store or version belong.

    Another copy helps. Bytes that match their hash but cannot be used raise IncompatibleError instead.
    """

    code = "damaged"


class IncompatibleError(SaverError, ValueError):
    """The bytes are intact, but not understood here: not a Saver file; a file of a newer Saver; state that
    another version of a library wrote, for a class that has changed since; or a structure that Saver never
    writes.

    The message names both versions, the one at the time of the save and the one here, if they are known.
    Another copy does not help.
    """

    code = "incompatible"


class WrongKeyError(_SystemError, PermissionError):
    """None of the keys that were passed opens what is sealed. The message says how many were tried."""

    code = "wrong-key"


class KeyNeededError(_SystemError, PermissionError):
    """It is sealed, and no key of the kind that opens it was passed."""

    code = "key-needed"


class SignatureError(_SystemError, PermissionError):
    """What a policy or the roles of a store demand is missing: there is no signature, or it is by someone
    else, or it does not verify, or there are too few, or its key has no right to this. The message says
    which. Nothing was loaded or changed.
    """

    code = "signature"


class LostRankError(SaverError, RuntimeError):
    """One of the processes that save or load together died, was stopped, or did not come. Nothing was saved,
    and nothing restored.

    `rank` is its number. The message says where it ran, what it did last, and how long ago that was.
    """

    code = "lost-rank"

    def __init__(self, message: str = "", rank: int = 0) -> None:
        super().__init__(message)
        self.rank = rank


class CommitUnknownError(_SystemError):
    """It is unknown whether a commit took place. Nothing was deleted."""

    code = "commit-unknown"


class VersionWarning(UserWarning):
    """A part was saved under another version of a package that it depends on."""

    def __init__(self, message: str = "") -> None:
        super().__init__(limited(message))
