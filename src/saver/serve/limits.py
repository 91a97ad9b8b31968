"""What one request, one client and all of them together may take. Every limit is checked before the memory or
the time is spent."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a server. Sizes are in bytes, durations in seconds."""

    header_bytes: int = 16 * 1024
    header_seconds: float = 10.0
    connections: int = 1024
    idle_seconds: float = 75.0
    body_bytes: int = 16 * 1024 * 1024
    """Of one body, after decompression."""
    body_seconds: float = 30.0
    bodies_bytes: int = 256 * 1024 * 1024
    """Of all bodies that are held at the same time."""
    send_seconds: float = 30.0
    """For which a client may refuse to read its answer."""
    depth: int = 32
    """Of brackets in JSON."""
    rows: int = 10_000
    requests: int = 512
    """That are answered at the same time."""
    queue_rows: int = 20_000
    """Of one version that wait for a worker."""
    seconds: float = 30.0
    """From the end of a request to its answer, waiting included."""
    batch_rows: int = 1024
    """That are predicted in one call, if several requests wait."""

    object_bytes: int = 64 << 30
    """Of one object of a shared store, as it is sent and as it is unpacked."""
    document_bytes: int = 64 << 20
    """Of one that is not a pack, and of the header of a pack."""
    spool_bytes: int = 128 << 30
    """Of all objects that are being received, in files."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not 0 < value < float("inf"):
                raise ValueError(f"{each.name}: a limit must be positive and finite, not {value!r}")
