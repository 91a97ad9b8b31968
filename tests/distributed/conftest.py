"""Tests of ranks run in both forms of a version."""

from __future__ import annotations

import pytest

from in_grids import form, parametrize_forms

__all__ = ["form"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize_forms(metafunc)
