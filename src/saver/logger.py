"""What an operator wants to know of a store, through `logging` under the name `saver`: docs/reference.md.

Nothing is printed unless the program asks for it. Modules write `logger.info("… %s", value)`: a text is made
only if somebody listens, and then of printable characters on one line, as in errors.
"""

from __future__ import annotations

import logging

from saver.errors import printable

logger = logging.getLogger("saver")
"""Warnings: what somebody should look at. Info: what changed, once it is durable, and what mended itself.
Debug: what only tells why something took longer."""


def _clean(record: logging.LogRecord) -> bool:
    """Names in a store may contain anything, also what would control the terminal that shows the log."""
    record.msg, record.args = printable(record.getMessage()), None
    return True


logger.addFilter(_clean)
logger.addHandler(logging.NullHandler())
