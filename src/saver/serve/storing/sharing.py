"""How much of a store a server shares."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Share: TypeAlias = Literal["read", "checked", "full"]
"""What a server allows, at most: to read; to write what it examines; to write and delete anything."""

SHARES: tuple[str, ...] = get_args(Share)

GRACE = 900.0
"""Seconds for which a condemned object is kept for those who may be reading it, as `saver gc` keeps it."""
