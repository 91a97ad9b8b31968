"""Passphrases that cost little: the work factor is the lowest that is read."""

from __future__ import annotations

import pytest

from saver.keys import scrypt


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr(scrypt, "FACTOR", scrypt.FACTORS[0])
