"""The network of all ranks of a session, once all of them can reach each other."""

from __future__ import annotations

from saver.cluster import Network
from saver.distributed.exchange import started, wait_for
from saver.distributed.session import Session


class Link:
    """A network that is made when it is first needed, and stays until it is closed."""

    def __init__(self) -> None:
        self.network: Network | None = None

    def trouble(self, session: Session) -> str:
        """Why the ranks cannot reach each other, the same in all of them; empty if they can. All of them call
        this."""
        if self.network is not None:
            return ""
        found = _connected(session)
        own = f"{type(found).__name__}: {found}" if isinstance(found, Exception) else ""
        trouble = first_of(session, "connected", own)
        if not isinstance(found, Exception):
            self.network = found
        if trouble:
            self.close()
        return trouble

    def close(self) -> None:
        """Have all that waits for other ranks raise an exception."""
        network, self.network = self.network, None
        if network is not None:
            network.close()


def first_of(session: Session, key: str, trouble: str) -> str:
    """The trouble of the first rank that has some, in all ranks; `key` names the notes."""
    found = session.gather(key, trouble, str)
    first = next((f"{each} (rank {rank})" for rank, each in enumerate(found) if each), "")
    return session.agree(f"all-{key}", first, str)


def _connected(session: Session) -> Network | Exception:
    session.doing("connecting")
    found: list[Network | Exception] = []

    def connect() -> None:
        try:
            found.append(session.network())
        except Exception as error:
            found.append(error)

    wait_for([started(connect)], session.watch)
    return found[0]
