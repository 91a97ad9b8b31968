"""What was read last of versions: pages look at one several times."""

from __future__ import annotations

import threading
from collections import OrderedDict

from saver import Saver
from saver.description import Description
from saver.repo.version import Version

KEPT = 16


class Described:
    """The descriptions that were read last; a version never changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[str, str], Description] = OrderedDict()

    def of(self, store: Saver, version: Version) -> Description:
        """What is in a version. Raises SaverError."""
        key = str(version), version.manifest
        with self._lock:
            found = self._found.get(key)
        if found is None:
            found = store.describe(version)
        with self._lock:
            self._found[key] = found
            self._found.move_to_end(key)
            if len(self._found) > KEPT:
                self._found.popitem(last=False)
        return found
