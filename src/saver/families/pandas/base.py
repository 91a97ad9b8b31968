"""What the codecs of pandas' classes have in common."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from saver.codec import Codec, added, private

_COMPILED = ("_cache", "_microseconds", "_offset", "_seconds", "_use_relativedelta", "sortorder")
"""What compiled code of pandas keeps in the dict of an instance."""


class PandasCodec(Codec):
    """A codec of one of pandas' classes, on whose instances anything may be set: `frame.note = "…"`.

    What pandas itself keeps there is private, declared in `_metadata`, or an accessor such as `.str`.
    """

    def unsaved(self, obj: Any) -> Iterable[str]:
        own = (*_COMPILED, *getattr(type(obj), "_metadata", ()), *getattr(obj, "kwds", ()))
        return [name for name in added(obj, *own, *private(obj)) if not _is_accessor(type(obj), name)]


def _is_accessor(cls: type, name: str) -> bool:
    return type(inspect.getattr_static(cls, name, None)).__name__ in ("Accessor", "CachedAccessor")
