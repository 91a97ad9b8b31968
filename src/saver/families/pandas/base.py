"""What the codecs of pandas' classes have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from saver.codec import Codec, added, private


class PandasCodec(Codec):
    """A codec of one of pandas' classes, on whose instances anything may be set: `frame.note = "…"`.

    What pandas itself keeps there is private, declared in `_metadata`, or an accessor such as `.str`, which
    its class has, too.
    """

    def unsaved(self, obj: Any) -> Iterable[str]:
        cls: Any = type(obj)
        own = ("sortorder", *getattr(cls, "_metadata", ()), *getattr(obj, "kwds", ()))
        return [name for name in added(obj, *own, *private(obj)) if not hasattr(cls, name)]
