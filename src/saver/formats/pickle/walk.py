"""The walk from inert values to trees: the encoder of all saves, with codecs for what stands for objects."""

from __future__ import annotations

from typing import Any

import numpy as np

from saver.codec import Codec, Encoder, codec_for
from saver.errors import SaverError
from saver.formats.pickle.readers import reader_of, value_of
from saver.pickled import LITERALS, Call, NotReadError
from saver.tree import Node

_PLAIN = LITERALS | {list, tuple, dict, np.ndarray}
"""Dicts are made by families: those of a pickle are `Pairs`."""


class Walk(Encoder):
    """One walk."""

    def codec_of(self, obj: Any, kind: type) -> Codec | None:
        if kind is Call:
            found = reader_of(obj)
            if found is None:
                self.refuse(f"{obj.function} would have to be called, which Saver does not do")
            return found
        if kind in _PLAIN or issubclass(kind, np.generic):
            return codec_for(kind)
        found = value_of(obj)
        if found is None:
            self.refuse(f"a {kind.__name__.lower()} lies where pickles of models have none")
        return found

    def _encoded(self, obj: Any, kind: type, shared: bool) -> Node:
        try:
            return super()._encoded(obj, kind, shared)
        except SaverError:
            raise
        except NotReadError as error:
            self.refuse(str(error))
