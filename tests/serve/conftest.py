"""A store with models to serve, and servers in this process, on the loopback address alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("sklearn")

from irises import filled
from visits import Running, Serve

import saver
from saver.serve.limits import Limits
from saver.serve.settings import Settings


@pytest.fixture(scope="session")
def ready_store(tmp_path_factory: pytest.TempPathFactory) -> saver.Saver:
    """A store that no test changes."""
    return filled(tmp_path_factory.mktemp("served") / "store")


@pytest.fixture
def store(tmp_path: Path) -> saver.Saver:
    """A store of the test's own."""
    return filled(tmp_path / "store")


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers, and ends them after the test."""
    running: list[Running] = []

    def start(store: saver.Saver, *refs: str, **settings: object) -> Running:
        from saver.serve.settings import names_of

        chosen = {"poll": 0.05, "port": 0, **settings}
        names = names_of(refs or ["iris@production"])
        one = Running(Settings(store=str(store.storage), names=names, **chosen))  # type: ignore[arg-type]
        running.append(one)
        return one

    yield start
    for one in running:
        one.stop()


@pytest.fixture(scope="session")
def shared(ready_store: saver.Saver) -> Iterator[Running]:
    """One server for all tests that only ask."""
    one = Running(Settings(store=str(ready_store.storage), names={"iris": "iris@production"}, port=0))
    yield one
    one.stop()


@pytest.fixture(scope="session")
def narrow(ready_store: saver.Saver) -> Iterator[Running]:
    """One server with narrow limits, for all tests that only ask."""
    limits = Limits(header_seconds=1, body_seconds=1, send_seconds=1, body_bytes=1_000_000)
    names = {"iris": "iris@production"}
    one = Running(Settings(store=str(ready_store.storage), names=names, port=0, limits=limits))
    yield one
    one.stop()
