"""Names of classes, functions and codecs in a file lead to nothing that the policy does not know."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from forge import File, node

import saver
from saver import trust

STRANGE = ["", ":", "os", "os.system", "os:", ":system", "os:system:x", "os:sys tem", "o s:system",
           "os:system()",
           "os:system\n", "os;x:y", "../os:system", "os:\u202esystem", "os:lambda:x", "os:__import__('os')",
           "\x00:a", "os:1a", "1:a", "a" * 600 + ":b", "a:" + "b." * 400 + "c"]  # fmt: skip

FOREIGN = [
    "os:system", "posix:system", "subprocess:Popen", "builtins:eval", "builtins:exec", "builtins:getattr",
    "builtins:__import__", "builtins:open", "builtins:compile", "builtins:setattr", "importlib:import_module",
    "antigravity:x", "this:s", "ftplib:FTP", "pickle:loads", "pickle:Unpickler", "_pickle:loads",
    "marshal:loads",
    "types:FunctionType", "types:CodeType", "operator:attrgetter", "_operator:methodcaller",
    "functools:reduce",
    "shutil:rmtree", "pathlib:Path.unlink", "runpy:run_path", "code:interact", "ctypes:CDLL",
]  # fmt: skip

UNLISTED = [  # trusted packages, but not for reference: they read, run or load
    "numpy:load", "numpy:fromfile", "numpy:memmap", "numpy:savetxt", "numpy:loadtxt", "numpy:frompyfunc",
    "numpy:vectorize", "numpy.lib._npyio_impl:load", "numpy.lib._datasource:os.system",
    "numpy.ctypeslib:load_library", "torch:load", "torch:compile", "torch.hub:load", "torch.jit:load",
    "torch.utils.cpp_extension:load", "sklearn.datasets:fetch_openml", "sklearn.utils:os.system",
    "scipy.io:loadmat", "joblib:load",
    "scipy.stats._distn_infrastructure:rv_generic._attach_argparser_methods",
]  # fmt: skip

DANGEROUS = [  # modules of trusted packages that build, test or fetch
    "numpy.testing:runstring", "numpy.f2py:compile", "numpy.distutils.exec_command:exec_command",
    "torch.hub:load", "torch.utils.cpp_extension:load_inline", "torch.testing._internal:X",
    "sklearn.externals._numpydoc:X", "sklearn.conftest:X", "sklearn.tests.test_base:MyEstimator",
]  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN + UNLISTED)
@pytest.mark.parametrize("codec", ["function", "class"])
def test_a_reference_outside_the_list_is_refused_unimported(
    codec: str, name: str, file: File, tmp_path: Path, refused: Any
) -> None:
    file.tree = node("list", [node(codec, cls=name)])
    before = set(sys.modules)
    error = refused(file.write(tmp_path / "bad.saver"), saver.UntrustedError)
    assert error.names == (trust.dotted(name),)
    assert f'trust=["{trust.dotted(name)}"]' in str(error)
    assert set(sys.modules) == before


@pytest.mark.parametrize("name", FOREIGN + DANGEROUS)
@pytest.mark.parametrize(
    "codec", ["object", "dataclass", "enum", "namedtuple", "numpy.array", "sklearn.estimator", "torch.module"]
)
def test_an_instance_of_a_foreign_class_is_refused_unimported(
    codec: str, name: str, file: File, tmp_path: Path, refused: Any
) -> None:
    file.tree = node(codec, {}, name)
    before = set(sys.modules)
    refused(file.write(tmp_path / "bad.saver"), (saver.UntrustedError, saver.IncompatibleError))
    assert set(sys.modules) == before


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("codec", ["function", "dataclass", "numpy.array"])
def test_what_cannot_be_a_name_is_refused(
    codec: str, name: str, file: File, tmp_path: Path, refused: Any
) -> None:
    file.tree = node(codec, {}, name)
    error = refused(file.write(tmp_path / "bad.saver"), saver.IncompatibleError, "is not the name of a class")
    assert len(str(error)) < 500


def test_every_untrusted_name_is_reported_at_once(file: File, tmp_path: Path, refused: Any) -> None:
    file.tree = node("list", [node("function", cls=name) for name in FOREIGN])
    error = refused(file.write(tmp_path / "bad.saver"), saver.UntrustedError)
    assert set(error.names) == {trust.dotted(name) for name in FOREIGN}


def test_an_untrusted_name_hidden_in_a_batch_is_found(file: File, tmp_path: Path, refused: Any) -> None:
    file.manifest["parts"]["model"]["batches"] = {"model/numpy.array": [node("function", cls="os:system")]}
    refused(file.write(tmp_path / "bad.saver"), saver.UntrustedError)


@pytest.mark.parametrize(
    "codec",
    ["os.system", "../x", "pickle.x", "_columns.x", "_columns.encode_run", "builtins", "numpy", "list.x", "",
     ".", ".list", "list.", "saver.list", "no such", "eval", "builtins.list", "stdlib", "numpy.array.x",
     "\x00", "numpy.\ud800", "codec", "x" * 10_000],
)  # fmt: skip
def test_a_codec_is_found_among_the_installed_ones_only(
    codec: str, file: File, tmp_path: Path, refused: Any
) -> None:
    file.tree = node("list", [node(codec, [])])
    before = {name for name in sys.modules if not name.startswith(("saver.", "numpy."))}
    error = refused(file.write(tmp_path / "bad.saver"), saver.IncompatibleError)
    assert len(str(error)) < 500
    assert {name for name in sys.modules if not name.startswith(("saver.", "numpy."))} == before


@pytest.mark.parametrize("codec", [None, 1, True, ["list"], {"$": "list"}])
def test_a_codec_name_is_a_string(codec: Any, file: File, tmp_path: Path, refused: Any) -> None:
    file.tree = {"$": codec, "state": []}
    refused(file.write(tmp_path / "bad.saver"), saver.IncompatibleError)


def test_a_name_that_leads_elsewhere_is_refused_even_if_trusted(file: File, tmp_path: Path) -> None:
    """`numpy.lib._datasource` imports os: the policy sees a NumPy name, the interpreter `os.system`."""
    pytest.importorskip("numpy.lib._datasource")
    file.tree = node("function", cls="numpy.lib._datasource:os.system")
    path = file.write(tmp_path / "bad.saver")
    with pytest.raises(saver.IncompatibleError, match="leads to"):
        saver.load(path, trust=["numpy.*"])


@pytest.mark.parametrize("name", ["collections:OrderedDict", "json:dumps"])
def test_a_trusted_function_is_not_taken_for_an_instance(name: str, file: File, tmp_path: Path) -> None:
    for codec in ("dataclass", "enum", "namedtuple"):
        file.tree = node(codec, {}, name)
        with pytest.raises(saver.IncompatibleError):
            saver.load(file.write(tmp_path / "bad.saver"), trust=["collections.*", "json.*"])


def test_a_codec_without_classes_imports_none(file: File, tmp_path: Path) -> None:
    """`numpy.array` needs no class; one in its node could only be there to have a module imported."""
    file.tree = node("numpy.array", {"dtype": "<f8", "shape": [0], "data": ""}, "numpy.matlib:rand")
    with pytest.raises(saver.IncompatibleError, match="needs no class"):
        saver.load(file.write(tmp_path / "bad.saver"))
    assert "numpy.matlib" not in sys.modules


def test_a_trusted_name_that_is_not_there_is_not_found(file: File, tmp_path: Path) -> None:
    file.tree = node("function", cls="numpy:no_such_function")
    with pytest.raises(saver.NotFoundError, match="no_such_function"):
        saver.load(file.write(tmp_path / "bad.saver"), trust=["numpy.*"])


def test_the_file_cannot_widen_the_policy(file: File, tmp_path: Path, refused: Any) -> None:
    file.tree = node("function", cls="os:system")
    file.manifest.update(trust=["os.*"], registered=["os.system"], environment={"trust": ["os.*"]})
    file.metadata["trust"] = "os.*"
    file.own["trust"] = ["*"]
    refused(file.write(tmp_path / "bad.saver"), saver.UntrustedError)
