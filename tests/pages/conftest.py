"""A store of small models, and its pages as a client that needs no network."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx2")

from nets import filled
from visiting import Visitor

from saver.pages.server import Pages


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Visitor:
    """A visitor of a store that no test changes."""
    return Visitor(Pages(filled(tmp_path_factory.mktemp("pages") / "store")).site)


@pytest.fixture
def visitor(tmp_path: Path) -> Visitor:
    """A visitor of a store of the test's own."""
    return Visitor(Pages(filled(tmp_path / "store")).site)
