"""The errors of Saver.

    SaverError                     everything Saver raises on purpose
    ├── CannotSaveError            TypeError          an object, or a piece of one, has no data form
    ├── CannotWriteError           OSError            the bytes could not be made durable; nothing changed
    ├── CannotReadError            OSError            the system will not give the bytes; they may be sound
    ├── NotFoundError              FileNotFoundError, no such file, version, part or class
    │                              LookupError
    ├── DoesNotFitError            ValueError         what was saved does not fit the object to restore into
    ├── UntrustedError             ValueError         a file asks for a class that the policy does not know
    ├── LimitExceededError         ValueError         loading would take more than its size warrants
    ├── DamagedError               ValueError         the bytes are not those that were saved
    ├── IncompatibleError          ValueError         the bytes are intact, and not understood here
    └── CommitUnknownError         OSError            whether a commit took place could not be learned

    VersionWarning                 saved under another version of a package that its parts depend on

Each is also the builtin in the second column, so code that catches that goes on working. `code` is the name
in lower case with hyphens, without `Error`: `cannot-save`. It is stable and meant for programs.

Every message names the place, the fact and the next step.

Messages quote what stands in files, which may be anything: names that would steer a terminal, or be taken for
lines of Saver's own. So every message, also of a warning, is one line of `printable` text, whoever makes it
of what. Nobody who raises an error need think of it.
"""

from __future__ import annotations

import errno
from typing import ClassVar

MESSAGE_LIMIT = 20_000
"""Characters of a message: enough for a hundred classes that are not trusted, each named twice."""


def printable(text: str) -> str:
    """`text` in one line, with all that could steer a terminal (control, format and bidi characters, what has
    no meaning in Unicode) escaped as in Python. Twice is the same as once."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _message(text: str) -> str:
    """A message, printable; of one that is too long the beginning and the end, where the next step is."""
    if len(text) > MESSAGE_LIMIT:  # before each of its characters is looked at, and after it got longer
        text = _shortened(text)
    text = printable(text)
    return _shortened(text) if len(text) > MESSAGE_LIMIT else text


def _shortened(text: str) -> str:
    half = MESSAGE_LIMIT // 2 - 3
    return f"{text[:half]} […] {text[-half:]}"


class SaverError(Exception):
    """Any error that Saver raises on purpose. Its message is printable, whatever it was made of."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str = "") -> None:
        super().__init__(_message(message))


class CannotSaveError(SaverError, TypeError):
    """The object, or a piece of it that the message names by path, has no data form."""

    code = "cannot-save"


class CannotWriteError(SaverError, OSError):
    """The bytes could not be made durable; what was there before is untouched."""

    code = "cannot-write"


def is_full(error: CannotWriteError) -> bool:
    """Whether the device has no room left, or the user no quota."""
    return getattr(error.__cause__, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


class CannotReadError(SaverError, OSError):
    """The system would not give the bytes: a missing permission, a lost connection. They may be sound."""

    code = "cannot-read"


class NotFoundError(SaverError, FileNotFoundError, LookupError):
    """There is no such file, version, part or class."""

    code = "not-found"


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
    """The file asks for classes or functions that the trust policy does not know.

    `names` holds them all, sorted, as they would stand in `trust=[...]`; printable, as the message is.
    """

    code = "untrusted"

    def __init__(self, message: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.names = tuple(map(printable, names))


class LimitExceededError(SaverError, ValueError):
    """Loading asks for more memory or work than the size of what is loaded warrants.

    The message says which part asked for how much; `limit=` allows it, for whoever trusts the file.
    """

    code = "limit-exceeded"


class DamagedError(SaverError, ValueError):
    """The bytes are not those that were saved: they do not match their hash, are missing or cut off, cannot
    be read from the disk, or stand where those of another file, store or version belong.

    Another copy helps. What matches its hash and cannot be used all the same is an IncompatibleError.
    """

    code = "damaged"


class IncompatibleError(SaverError, ValueError):
    """The bytes are intact, and not understood here: no Saver file; one of a newer Saver; state that another
    version of a library wrote, for a class that changed since; or a structure that no Saver writes.

    The message names the versions, of then and here, where they are known. Another copy does not help.
    """

    code = "incompatible"


class CommitUnknownError(SaverError, OSError):
    """Whether a commit took place could not be learned; nothing was deleted."""

    code = "commit-unknown"


class VersionWarning(UserWarning):
    """Saved under another version of a package that the named parts depend on."""

    def __init__(self, message: str = "") -> None:
        super().__init__(_message(message))
