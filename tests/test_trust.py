"""The policy decides by name alone, and a name leads to what carries it."""

from __future__ import annotations

import collections
import math
import operator
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saver
from saver import configuration, trust
from saver.tree import Node


@pytest.fixture(autouse=True)
def no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file of this test's own, which does not exist yet."""
    path = tmp_path / "config.toml"
    monkeypatch.setenv("SAVER_CONFIG", str(path))
    return path


def audit(codec: str, name: str, *patterns: str) -> None:
    trust.audit([Node(codec, name)], patterns, "here")


@pytest.mark.parametrize("name", sorted(trust.references()))
def test_every_listed_reference_is_a_name_that_leads_to_itself(name: str) -> None:
    """Those that this version of a package does not have lead nowhere, and to nothing else."""
    audit("function", name)
    audit("class", name)
    root = name.partition(":")[0].partition(".")[0]
    if root not in sys.modules:
        pytest.importorskip(root)
    try:
        found = trust.resolve(name)
    except saver.NotFoundError:
        return
    except saver.IncompatibleError:  # an alias: the thing has its own name, under which it is saved
        module, _, attribute = name.partition(":")
        assert hasattr(sys.modules[module], attribute)
        return
    assert name in trust.names_of(found)


@pytest.mark.parametrize("thing", [len, math.sin, np.log1p, np.mean, np.float64, np.linalg.norm,
                                   np.ndarray, dict,
                                   collections.OrderedDict, operator.add, np.add, int, np.clip,
                                   np.bool_])  # fmt: skip
def test_what_people_use_is_trusted_under_the_name_it_is_saved_by(thing: object, tmp_path: Path) -> None:
    saver.dump([thing], tmp_path / "a.saver")
    assert saver.load(tmp_path / "a.saver") == [thing]


@given(st.text(max_size=30))
def test_any_text_is_refused_or_untrusted_or_listed(text: str) -> None:
    try:
        audit("function", text)
    except (saver.IncompatibleError, saver.UntrustedError):
        return
    assert text in trust.references()


def test_a_codec_trusts_the_classes_of_its_own_package_only() -> None:
    audit("numpy.array", "numpy.ma:MaskedArray")
    for codec, name in [
        ("numpy.array", "scipy.stats:norm"),
        ("list", "numpy:ndarray"),
        ("numpyx.array", "numpyx:A"),
    ]:
        with pytest.raises(saver.UntrustedError):
            audit(codec, name)


@pytest.mark.parametrize(
    ("pattern", "name", "trusted"),
    [
        ("mypackage.*", "mypackage.models:Net", True),
        ("mypackage.*", "mypackage:Net", True),
        ("mypackage.models.Net", "mypackage.models:Net", True),
        ("mypackage.models.Net", "mypackage.models:Net.Inner", False),
        ("mypackage.*", "mypackages.models:Net", False),
        ("mypackage.*", "other.mypackage:Net", False),
        ("mypackage", "mypackage:Net", False),
        ("*", "anything.at:All", True),
    ],
)
def test_a_pattern_trusts_what_it_matches_whole(pattern: str, name: str, trusted: bool) -> None:
    if trusted:
        audit("dataclass", name, pattern)
    else:
        with pytest.raises(saver.UntrustedError):
            audit("dataclass", name, pattern)


def test_a_single_pattern_may_be_a_plain_string() -> None:
    trust.audit([Node("dataclass", "mypackage:Net")], "mypackage.*", "here")


def test_the_configuration_file_adds_to_the_policy(no_configuration: Path) -> None:
    no_configuration.write_text('trust = ["mypackage.*"]\n')
    configuration.read.cache_clear()
    audit("dataclass", "mypackage:Net")
    with pytest.raises(saver.UntrustedError):
        audit("dataclass", "other:Net")


@pytest.mark.parametrize("text", ['trust = "mypackage.*"', "trust = [1]"])
def test_a_wrong_configuration_file_is_reported(text: str, no_configuration: Path) -> None:
    no_configuration.write_text(text)
    configuration.read.cache_clear()
    with pytest.raises(saver.IncompatibleError, match="list of names"):
        audit("dataclass", "mypackage:Net")


def test_a_configuration_file_that_is_not_toml_is_reported(no_configuration: Path) -> None:
    no_configuration.write_text("trust = [")
    configuration.read.cache_clear()
    with pytest.raises(saver.IncompatibleError, match=r"config\.toml"):
        audit("dataclass", "mypackage:Net")


AS_SOMEBODY_ELSE = """
import os, tomllib
import saver
from saver import configuration, trust
from saver.tree import Node
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    trust.audit([Node("dataclass", "mypackage:Net")], (), "here")
except saver.SaverError as error:
    print(type(error).__name__, error)
"""


def as_somebody_else(**variables: str) -> str:
    """The message for a user whom no folder lets in, and who needs a class that is not trusted."""
    inherited = {
        key: text for key, text in os.environ.items() if key not in ("SAVER_CONFIG", "XDG_CONFIG_HOME")
    }
    done = subprocess.run(
        (sys.executable, "-c", AS_SOMEBODY_ELSE),
        env=inherited | variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder with a configuration file that trusts the class, which nobody but root may enter."""
    home = tmp_path / "home"
    (home / ".config" / "saver").mkdir(parents=True)
    (home / ".config" / "saver" / "config.toml").write_text('trust = ["*"]')
    home.chmod(0)
    yield home
    home.chmod(0o700)


def test_a_home_that_may_not_be_entered_has_no_configuration(closed: Path) -> None:
    assert as_somebody_else(HOME=str(closed)).startswith("UntrustedError here asks for mypackage.Net")
    assert as_somebody_else(XDG_CONFIG_HOME=str(closed / ".config")).startswith("UntrustedError")


def test_a_configuration_file_that_was_named_must_be_readable(closed: Path) -> None:
    named = str(closed / ".config" / "saver" / "config.toml")
    assert as_somebody_else(SAVER_CONFIG=named).startswith(
        f"CannotReadError $SAVER_CONFIG is {named}: Permission denied"
    )


def test_a_folder_is_not_a_configuration_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "saver" / "config.toml"
    folder.mkdir(parents=True)
    monkeypatch.setenv("SAVER_CONFIG", str(folder))
    with pytest.raises(saver.CannotReadError, match=r"\$SAVER_CONFIG is .*: Is a directory"):
        audit("dataclass", "mypackage:Net")
    monkeypatch.delenv("SAVER_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(saver.UntrustedError):
        audit("dataclass", "mypackage:Net")


def test_the_configuration_file_lies_where_such_files_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAVER_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    assert configuration.path() == os.path.join("/somewhere", "saver", "config.toml")


@pytest.mark.parametrize(
    "name", ["numpy.lib._datasource:os.system", "collections:abc", "os:path.join", "json:dumps.x"]
)
def test_a_name_leads_only_to_what_carries_it(name: str) -> None:
    with pytest.raises((saver.IncompatibleError, saver.NotFoundError)):
        trust.resolve(name)


def test_a_local_class_has_no_name() -> None:
    class Local:
        pass

    with pytest.raises(saver.CannotSaveError, match="top level"):
        trust.class_name(Local)
