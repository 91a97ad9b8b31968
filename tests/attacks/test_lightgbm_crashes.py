"""Changed boosters: LightGBM's own parser ends the process on most of them; loading by Saver never does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("lightgbm")

from booster_changes import survived
from lightgbm_crashes import PARAMETERS

pytestmark = pytest.mark.xdist_group("lightgbm")

CHANGES = 60


@pytest.mark.slow
@pytest.mark.shows("LightGBM", "hostile files tried")
@pytest.mark.parametrize("kind", PARAMETERS)
def test_a_changed_booster_is_refused_or_can_be_used(
    kind: str, record_property: Callable[[str, int], None]
) -> None:
    survived("lightgbm_crashes.py", kind, CHANGES)
    record_property("hostile files", CHANGES)
