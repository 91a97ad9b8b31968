"""What the library of Hugging Face prints, raises and downloads, as Saver wants it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from saver.errors import IncompatibleError


def reason_of(error: BaseException) -> str:
    """What went wrong, in a line, without the addresses of files, in which there may be secrets."""
    inner = error.__cause__ if type(error) is RuntimeError and error.__cause__ else error
    said = " ".join(str(inner).split())
    return f"{type(inner).__name__}: {re.sub(r'[?][^ ]*', '?…', said)[:300]}"


@contextmanager
def quietly() -> Iterator[None]:
    """Without the progress bars of the library: Saver has its own."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    before = are_progress_bars_disabled()
    if not before:
        disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()


def at_most(api: Any, most: int, where: str) -> dict[str, Any]:
    """Arguments of a download that end it after so many bytes: a server may send them without end. Older
    versions of the library have no such argument; then only the result is compared."""
    if "tqdm_class" not in inspect.signature(api.hf_hub_download).parameters:
        return {}
    from tqdm.auto import tqdm

    class Bounded(tqdm):  # type: ignore[misc]
        """A progress bar that nobody sees."""

        seen = 0.0

        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **{**named, "disable": True})

        def update(self, n: float | None = 1) -> None:
            """Count bytes."""
            self.seen += n or 0
            if self.seen > most:
                raise too_large(where, most)

    return {"tqdm_class": Bounded}


def too_large(where: str, most: int) -> IncompatibleError:
    """The error for a file that goes on where it should end."""
    return IncompatibleError(f"{where} has more than {most:,} bytes, which is not what `saver push` sent")
