"""What to do about errors of the system."""

from __future__ import annotations

import errno
from typing import Final


def remedy(error: OSError) -> str:
    """What to do about an error that would occur with any other folder or file, too; "" for other errors."""
    return _REMEDIES.get(error.errno or 0, "")


_REMEDIES: Final = {
    errno.EMFILE: "this process has too many files open: close some, or raise its limit (ulimit -n)",
    errno.ENFILE: "the system has too many files open: close programs, or raise its limit",
    errno.ENOMEM: "free some memory, and try again",
    errno.EFBIG: "it is larger than files may be: raise the limit (ulimit -f), or choose another file system",
    errno.EIO: "check the disk, and try again",
}
