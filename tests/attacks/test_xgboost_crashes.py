"""Changed boosters: XGBoost's own parsers end the process on many of them; loading by Saver never does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("xgboost")

from booster_changes import survived
from xgboost_crashes import PARAMETERS

pytestmark = pytest.mark.xdist_group("xgboost")

CHANGES = 60


@pytest.mark.slow
@pytest.mark.shows("XGBoost", "hostile files tried")
@pytest.mark.parametrize("kind", PARAMETERS)
def test_a_changed_booster_is_refused_or_can_be_used(
    kind: str, record_property: Callable[[str, int], None]
) -> None:
    survived("xgboost_crashes.py", kind, CHANGES)
    record_property("hostile files", CHANGES)
