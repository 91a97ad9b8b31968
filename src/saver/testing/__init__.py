"""What tests of stores and codecs of your own are made of. Needs pytest."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("saver.testing.codecs", "saver.testing.stores")

from saver.testing.codecs import CodecTests  # noqa: E402
from saver.testing.crashes import CrashState, crash_states  # noqa: E402
from saver.testing.faults import Crash, FaultyFiles, FaultyStore  # noqa: E402
from saver.testing.stores import StoreTests  # noqa: E402

__all__ = ["CodecTests", "Crash", "CrashState", "FaultyFiles", "FaultyStore", "StoreTests", "crash_states"]
