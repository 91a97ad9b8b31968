"""Tests of one group run in one process."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("together")
def test_where_several_processes_run_the_tests_the_name_of_each_ends_with_its_group(
    request: pytest.FixtureRequest,
) -> None:
    if not hasattr(request.config, "workerinput"):
        pytest.skip("the tests run in one process (without -n)")
    assert request.node.nodeid.endswith("@together")
