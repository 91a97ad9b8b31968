"""What families say of the trees that their codecs write."""

from __future__ import annotations

from typing import Any

from saver import registry


def said(codec: str, what: str) -> Any:
    """What the family of a codec says of it in the table `what` of its module for reading; None if nothing.

    Only Saver's own families are asked, and those that this process uses already: to look at a file imports
    nothing that others installed.
    """
    family = registry.in_use(registry.codec_root(codec))
    module = family.module("reading") if family is not None else None
    return getattr(module, what, {}).get(codec)
