"""Which versions share tensors: a store learns it from its whole log when it is first wanted. For a long log
that takes seconds, for which no page waits."""

from __future__ import annotations

import threading

from saver import Saver
from saver.errors import SaverError
from saver.logger import logger


class Relations:
    """Whether the store knows who needs what, as of the newest record. Thread-safe."""

    def __init__(self, store: Saver) -> None:
        self._store, self._lock = store, threading.Lock()
        self._reading: threading.Thread | None = None

    def ready(self, seconds: float) -> bool:
        """Have it learned what is new, and wait for that so long. If this is False, ask again later."""
        with self._lock:
            if self._reading is None or not self._reading.is_alive():
                self._reading = threading.Thread(target=self._read, daemon=True)
                self._reading.start()
            reading = self._reading
        reading.join(seconds)
        return not reading.is_alive()

    def _read(self) -> None:
        users = self._store._repo.users
        try:
            with users.lock:
                users.refresh()
        except (SaverError, OSError) as error:  # who asks for it then finds out
            logger.info("%s: who needs what is not known: %s", self._store.storage, error)
