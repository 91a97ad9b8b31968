"""A repository in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from drafts import Save, draft

from compressing import PlainPacks
from in_grids import form, parametrize_forms
from saver.repo import stage
from saver.repo.gc import moving
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.version import Version
from saver.storage import Storage
from saver.storages.memory import MemoryStorage
from saver.storages.sealed import SealedStorage
from sealing import OneHolder

__all__ = ["form"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize_forms(metafunc)


def _form(request: pytest.FixtureRequest) -> object:
    return getattr(getattr(request.node, "callspec", None), "params", {}).get("form")


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Storage:
    if _form(request) == "compressed":
        return PlainPacks()
    return SealedStorage(MemoryStorage(), OneHolder()) if _form(request) == "sealed" else MemoryStorage()


@pytest.fixture
def repo(store: Storage, request: pytest.FixtureRequest) -> Repository:
    return Repository(store, lambda: "ada", compress=_form(request) == "compressed")


@pytest.fixture
def save(repo: Repository) -> Save:
    def save(model: str, tensors: Mapping[str, Any], **more: Any) -> Version:
        return save_version(repo, draft(model, tensors, **more))

    return save


@pytest.fixture(autouse=True)
def apart(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions here are as if they were large, with a manifest of their own, unless a test is `of_files`."""
    monkeypatch.setattr(stage, "WORTH_SHARING", 1)
    if request.node.get_closest_marker("of_files") is None:
        monkeypatch.setattr(stage, "FILE_BYTES", -1)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs are rewritten when a few thousand bytes of them are dead."""
    monkeypatch.setattr(moving, "DEAD_BYTES", 6000)
