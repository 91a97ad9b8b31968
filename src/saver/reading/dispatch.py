"""Finds what families declare about the trees that their codecs write."""

from __future__ import annotations

from typing import Any

from saver import registry


def said(codec: str, what: str) -> Any:
    """The entry for a codec in the table `what` of its family's module for reading; None if it has no entry.

    Only Saver's own families are consulted, and those that this process uses already: looking at a file
    imports no other distribution.
    """
    family = registry.in_use(registry.codec_root(codec))
    module = family.module("reading") if family is not None else None
    return getattr(module, what, {}).get(codec)
