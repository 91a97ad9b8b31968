"""The errors of Saver.

    SaverError                 everything Saver raises on purpose
    ├── CannotSave             an object, or a piece of one, has no data form          cannot-save
    ├── CannotWrite            the bytes could not be made durable; nothing changed    cannot-write
    ├── CannotRead             the system will not give the bytes; they may be sound   cannot-read
    ├── NotFound               no such file, version, part or class                    not-found
    ├── DoesNotFit             what was saved does not fit the object to restore into  does-not-fit
    ├── Untrusted              a file asks for a class that the policy does not know   untrusted
    ├── LimitExceeded          loading would take more than the size of it warrants     limit-exceeded
    ├── Damaged                bytes or structure that do not match what was saved     damaged
    ├── Unsupported            not a Saver file, or a feature of a newer Saver         unsupported
    └── CommitUnknown          whether a commit took place could not be learned        commit-unknown

    VersionWarning             saved under another version of a package that its parts depend on

Every message names the place, the fact and the next step. `code` is stable and meant for programs.
"""

from __future__ import annotations

from typing import ClassVar


class SaverError(Exception):
    """Any error that Saver raises on purpose."""

    code: ClassVar[str] = "error"


class CannotSave(SaverError):
    """The object, or a piece of it that the message names by path, has no data form."""

    code = "cannot-save"


class CannotWrite(SaverError):
    """The bytes could not be made durable; what was there before is untouched."""

    code = "cannot-write"


class CannotRead(SaverError):
    """The system would not give the bytes: a missing permission, a lost connection. They may be sound."""

    code = "cannot-read"


class NotFound(SaverError):
    """There is no such file, version, part or class."""

    code = "not-found"


class DoesNotFit(SaverError):
    """What was saved does not fit the object that it was to be restored into, or that object refused it.

    Nothing was changed, unless the message names what had been restored by then. `report`, a
    `saver.restoring.Report`, says what fits and what does not; None where the kinds differ.
    """

    code = "does-not-fit"

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report


class Untrusted(SaverError):
    """The file asks for classes or functions that the trust policy does not know.

    `names` holds them all, sorted, as they would stand in `trust=[...]`.
    """

    code = "untrusted"

    def __init__(self, message: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.names = names


class LimitExceeded(SaverError):
    """Loading asks for more memory or work than the size of what is loaded warrants.

    The message says which part asked for how much; `limit=` allows it, for whoever trusts the file.
    """

    code = "limit-exceeded"


class Damaged(SaverError):
    """Bytes or structure do not match what was saved, or never were what a Saver file holds."""

    code = "damaged"


class Unsupported(SaverError):
    """Not a Saver file, or one that needs a feature or a codec that this Saver does not have."""

    code = "unsupported"


class CommitUnknown(SaverError):
    """Whether a commit took place could not be learned; nothing was deleted."""

    code = "commit-unknown"


class VersionWarning(UserWarning):
    """Saved under another version of a package that the named parts depend on."""
