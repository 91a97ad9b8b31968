"""The codecs and restorers of Python's own values."""

from __future__ import annotations

from saver.codec import Codec
from saver.families.python import builtins, derived, locks, randoms, records, stdlib, texts, times
from saver.families.python.containers import ContainerRestorer, DictRestorer, ListRestorer
from saver.families.python.generators import RandomRestorer
from saver.families.python.restoring import ObjectRestorer, StateRestorer
from saver.restoring import Restorer

CODECS: tuple[Codec, ...] = (
    *locks.CODECS, *builtins.CODECS, *stdlib.CODECS, *times.CODECS, *texts.CODECS, *records.CODECS,
    *derived.CODECS, *randoms.CODECS,
)  # fmt: skip

RESTORERS: tuple[Restorer, ...] = (
    StateRestorer(), DictRestorer(), ListRestorer(), ContainerRestorer(), RandomRestorer(), ObjectRestorer(),
)  # fmt: skip
