"""Pickles that attack: every published trick is named, and none is run."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver


def call(module: str, name: str, *args: str) -> bytes:
    """The opcodes, of protocol 0, that call a function with texts."""
    texts = b"".join(b"V%s\n" % arg.encode() for arg in args)
    return b"c%s\n%s\n(%stR" % (module.encode(), name.encode(), texts)


CALLS = {
    "os": call("os", "system", "touch exploded"),
    "posix": call("posix", "system", "touch exploded"),
    "subprocess": call("subprocess", "Popen", "touch exploded"),
    "eval": call("builtins", "eval", "1"),
    "exec of Python 2": call("__builtin__", "execfile", "x"),
    "getattr": call("builtins", "getattr", "x", "upper"),
    "import": call("builtins", "__import__", "os"),
    "pip": call("pip", "main", "install"),
    "pip within": call("pip._internal.cli.main", "main", "install"),
    "timeit": call("timeit", "timeit", "1"),
    "runpy": call("runpy", "_run_code", "1"),
    "operator": call("operator", "attrgetter", "system"),
    "numpy runs": call("numpy.testing._private.utils", "runstring", "1"),
    "numpy loads": call("numpy", "load", "x"),
    "torch loads": call("torch", "load", "x"),
    "joblib loads": call("joblib", "load", "x"),
    "pickle within": call("pickle", "loads", "x"),
    "linecache": call("linecache", "getline", "/etc/passwd"),
    "ctypes": call("ctypes", "CDLL", "x"),
    "webbrowser": call("webbrowser", "open", "http://x"),
    "a library of the user": call("mypackage.tools", "rebuild", "x"),
    "idlelib": call("idlelib.pyshell", "ModifiedInterpreter", "x"),
    "cProfile": call("cProfile", "runctx", "1"),
    "asyncio": call("asyncio.unix_events", "_UnixSubprocessTransport", "x"),
    "sklearn": call("sklearn.datasets", "load_svmlight_file", "x"),
    "pandas": call("pandas.io.pickle", "read_pickle", "x"),
}
ENDINGS = {
    "": b".",
    "broken after it": b"\x00\xff",
    "cut off after it": b"",
    "dropped": b"0N.",
    "another one behind": b"." + pickle.dumps(1),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_named_and_not_made(name: str, ending: str, tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x02" + CALLS[name] + ENDINGS[ending])
    module, function = CALLS[name][1:].split(b"\n")[:2]
    shown = {"posix": "os", "__builtin__": "builtins"}.get(module.decode(), module.decode())
    refused(path, saver.IncompatibleError, f"{shown}.{function.decode()}")
    assert not os.path.exists("exploded")


def test_all_calls_are_named_at_once(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x02(" + CALLS["os"] + CALLS["pip"] + CALLS["timeit"] + b"l.")
    error = str(refused(path, saver.IncompatibleError))
    assert all(name in error for name in ("os.system('touch exploded')", "pip.main", "timeit.timeit"))


OPCODES = {
    "an extension code": b"\x82\x01.",
    "a state of a function": b"cos\nsystem\n}b.",
    "a call of a result": b"ccollections\nOrderedDict\n)R)R.",
    "a name from a number": b"K\x01K\x02\x93.",
    "a buffer outside": b"\x97.",
    "an unknown persistent id": b"Vx\nQ.",
    "a memo that is not there": b"h\x07.",
    "a mark that is not there": b"t.",
    "a value too many": b"NN.",
    "a dict with a key alone": b"(Nd.",
    "a length beyond the end": b"X\xff\xff\xff\x7fabc.",
    "a negative length": b"T\xff\xff\xff\xffabc.",
    "a huge length": b"\x8e" + b"\xff" * 8 + b".",
    "an unknown opcode": b"\xee.",
    "a protocol of the future": b"\x80\x09N.",
    "two states": b"ccollections\nOrderedDict\n)R}b}b.",
}


@pytest.mark.parametrize("name", OPCODES)
def test_what_no_library_writes_is_refused(name: str, tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x04" + OPCODES[name])
    refused(path, saver.IncompatibleError)


def _deep(opening: bytes, closing: bytes, times: int = 200_000) -> bytes:
    return b"\x80\x02" + opening * times + b"N" + closing * times + b"."


@pytest.mark.parametrize(
    "data",
    [
        _deep(b"(", b"t"),
        _deep(b"(", b"l"),
        b"\x80\x02" + b"(" * 500_000,
        b"\x80\x02}" + b"}" * 300_000 + b".",
    ],
    ids=["tuples", "lists", "marks", "dicts"],
)
def test_depth_is_bounded(data: bytes, tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(data)
    refused(path, saver.IncompatibleError)


def test_values_that_hold_the_next_one_twice_take_linear_time(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x02)" + b"2\x86" * 60 + b".")
    assert len(saver.load(path)) == 2


def test_such_keys_are_not_hashed(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x02})" + b"2\x86" * 60 + b"Ns.")
    with pytest.raises(saver.SaverError):
        saver.load(path)


def test_a_long_text_that_occurs_often_is_bounded(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "model.pkl"
    text = b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20)
    path.write_bytes(b"\x80\x02]" + b"(" + text + b"q\x00" + b"h\x00" * 100_000 + b"e.")
    refused(path, saver.IncompatibleError, "occur so often")


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "model.pkl"
    packer = zlib.compressobj(9)
    data = [packer.compress(b"\x80\x02N0" + bytes(100))]
    data += [packer.compress(bytes(1 << 22)) for _ in range(80)]
    path.write_bytes(b"".join([*data, packer.flush()]))
    refused(path, saver.LimitExceededError)


def _archive(change: Callable[[bytearray], object] = lambda data: None, **more: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({"x": 1}, 2))
        archive.writestr("a/version", b"3\n")
        for name, data in more.items():
            archive.writestr(name, data)
    found = bytearray(buffer.getvalue())
    change(found)
    return bytes(found)


def _flag(place: bytes, offset: int, value: int) -> Callable[[bytearray], object]:
    def change(data: bytearray) -> None:
        data[data.index(place) + offset] |= value

    return change


def _rename(data: bytearray) -> None:
    at = data.index(b"a/data.pkl")
    data[at : at + 10] = b"a/evil.pkl"


ARCHIVES = {
    "encrypted, by its own header": _archive(_flag(b"PK\x03\x04", 6, 1)),
    "encrypted, by the directory": _archive(_flag(b"PK\x01\x02", 8, 1)),
    "flags of which nobody knows": _archive(_flag(b"PK\x01\x02", 9, 0x20)),
    "another name in its own header": _archive(_rename),
    "out of the folder": _archive(**{"a/../../x": b"x"}),
    "an absolute name": _archive(**{"/etc/x": b"x"}),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_that_readers_read_differently_are_refused(name: str, tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(ARCHIVES[name])
    refused(path, saver.IncompatibleError, "not sound")


def test_an_honest_archive_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(_archive())
    assert saver.load(path) == {"x": 1}


def test_an_entry_that_occurs_twice_is_refused(tmp_path: Path, refused: Any) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(1, 2))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a/data.pkl", CALLS["os"] + b".")
    path = tmp_path / "model.pt"
    path.write_bytes(buffer.getvalue())
    refused(path, saver.IncompatibleError, "same name")


@pytest.mark.parametrize("name", ["../x_01.npy", "/etc/passwd", "..\\x.npy", "x.txt", ".npy/../x"])
def test_arrays_beside_a_file_lie_in_its_folder(name: str, tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "model.pkl"
    state = b"}(Vfilename\nV%s\nVsubclass\ncnumpy\nndarray\nu" % name.replace("\\", "\\u005c").encode()
    path.write_bytes(b"\x80\x02cjoblib.numpy_pickle\nNDArrayWrapper\n)\x81" + state + b"b.")
    refused(path, saver.IncompatibleError, "is not the name")


def _samples() -> list[bytes]:
    values = [{"a": np.arange(40.0), "b": [1, "x", (2.5, None)], "c": {1, 2}}, np.random.RandomState(0)]
    return [pickle.dumps(value, protocol) for value in values for protocol in (0, 2, 5)] + [_archive()]


@pytest.mark.parametrize("number", range(7))
def test_a_file_that_is_cut_off_or_changed_is_read_or_refused(number: int, tmp_path: Path) -> None:
    path, chance = tmp_path / "model.pkl", random.Random(number)
    sample = _samples()[number]
    for step in range(300):
        data = bytearray(sample)
        if step % 3 == 0:
            del data[chance.randrange(len(data)) :]
        else:
            for _ in range(chance.choice((1, 1, 4))):
                data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            saver.load(path)
        except saver.SaverError:
            continue
