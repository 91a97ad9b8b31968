"""What a process does while it loads hostile objects and uses them, and which of that it may do.

Python's audit hook tells of code that runs, modules, files, sockets and processes. What an honest object
did in the warm-up is allowed: code by its bytes, modules by name, files by path, all else by who did it.
"""

from __future__ import annotations

import dis
import hashlib
import sys
import types
from collections import Counter
from functools import cache
from typing import Any

import canaries
import fuzz_words as words

_WATCHED = (
    "exec", "compile", "import", "marshal.", "pickle.", "open", "socket.", "subprocess.", "os.", "shutil.",
    "ctypes.", "tempfile.", "urllib.", "ftplib.", "http.", "smtplib.", "imaplib.", "webbrowser.", "sqlite3.",
    "builtins.input", "builtins.breakpoint", "code.__new__", "function.__new__", "glob.", "fcntl.", "pty.",
    "signal.", "syslog.", "setopencodehook", "sys.addaudithook", "sys.setprofile", "sys.settrace",
    "cpython.run_", "object.__setattr__",
)  # fmt: skip
_HERE = ("fuzz_watch", "canaries")
_PASSIVE = ("repr", "str", "clone", "deepcopy", "pickle", "get_params", "state_dict", "hash")
"""Steps that have no reason to call a function that an object holds."""

_IMPORT = dis.opmap["IMPORT_NAME"]


class Watch:
    """Notes what is done between `begin` and `end`. `step` is what is being done to the object."""

    def __init__(self) -> None:
        self.phase = ""
        self.step = ""
        self.path = ""
        self.learning = False
        self.allowed: dict[str, set[Any]] = {"load": set(), "use": set()}
        self.found: dict[str, str] = {}
        self.calls: Counter[str] = Counter()

    def install(self) -> None:
        canaries.heard.append(self._called)
        sys.addaudithook(self._hear)

    def begin(self, phase: str, step: str = "") -> None:
        self.phase, self.step = phase, step

    def end(self) -> None:
        self.phase = ""

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        phase = self.phase
        if not phase or not event.startswith(_WATCHED):
            return
        self.phase = ""  # what the hook does itself is not meant
        try:
            self._judge(phase, event, arguments)
        finally:
            self.phase = phase

    def _judge(self, phase: str, event: str, arguments: tuple[Any, ...]) -> None:
        frames = _frames(sys._getframe(2))
        if event == "open" and phase == "load" and str(arguments[0]) == self.path and not _writes(arguments):
            return
        key = (event, _what(event, arguments, frames))
        if self.learning:
            self.allowed[phase].add(key)
        elif key not in self.allowed[phase] and not (
            _is_statement(frames) or _is_told(event, arguments, frames)
            if phase == "use"
            else _is_admitted(frames)
        ):
            self._note(f"{event} {key[1]}", frames)

    def _called(self, kind: str) -> None:
        if not self.phase or self.learning:
            return
        frames = _frames(sys._getframe(2))
        if self.phase == "load" or kind == "nowhere" or self.step.startswith(_PASSIVE):
            self._note(f"canary {kind} called by {_site(frames)}", frames)
        else:
            self.calls[f"{kind} called by {_site(frames)}"] += 1

    def _note(self, what: str, frames: list[types.FrameType]) -> None:
        stack = " < ".join(_place(frame) for frame in frames[:7])
        self.found.setdefault(what[:300], f"{self.step}: {stack}")


def _frames(frame: types.FrameType | None) -> list[types.FrameType]:
    found = []
    while frame is not None:
        if frame.f_globals.get("__name__") not in _HERE:
            found.append(frame)
        frame = frame.f_back
    return found


def _place(frame: types.FrameType) -> str:
    return f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}:{frame.f_lineno}"


def _site(frames: list[types.FrameType]) -> str:
    """Who did it: the innermost function that is not part of the machinery of imports."""
    for frame in frames:
        if not frame.f_code.co_filename.startswith("<frozen"):
            return _place(frame).rpartition(":")[0]
    return "?"


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    return (isinstance(mode, str) and not set(mode).isdisjoint("wax+")) or bool(
        isinstance(flags, int) and flags & 0o3103  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC
    )


def _what(event: str, arguments: tuple[Any, ...], frames: list[types.FrameType]) -> Any:
    """What an honest object would have to have done for this to be allowed, too."""
    if event == "import":
        return str(arguments[0])
    if event == "open":
        return f"{'writes' if _writes(arguments) else 'reads'} {arguments[0]!r:.150}"
    if event == "exec":
        code = arguments[0]
        parts = (
            code.co_code,
            code.co_names,
            [c for c in code.co_consts if not isinstance(c, types.CodeType)],
        )
        return f"{code.co_filename} {code.co_name} {hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"
    if event == "compile":
        return f"{arguments[1]!r:.80} {hashlib.sha256(repr(arguments[0]).encode()).hexdigest()[:12]}"
    return _site(frames)


def _is_statement(frames: list[types.FrameType]) -> bool:
    """Whether it belongs to an `import` statement in a library's own code, so that no file chose the name."""
    innermost, within = True, False
    for frame in frames:
        machinery = frame.f_code.co_filename.startswith("<frozen importlib")
        if (innermost or within) and not machinery:
            at = frame.f_lasti
            if at >= 0 and frame.f_code.co_code[at] == _IMPORT:
                return True
            within = False
        within = within or machinery
        innermost = False
    return False


def _is_told(event: str, arguments: tuple[Any, ...], frames: list[types.FrameType]) -> bool:
    """Whether the interpreter tells of an error or of a signature: it reads the lines of its own modules, and
    parses the signatures that compiled functions carry. Or SciPy gives a spline another of its classes."""
    if event == "object.__setattr__":
        return _site(frames) == "scipy.interpolate._fitpack2.UnivariateSpline._set_class"
    names = {frame.f_globals.get("__name__") for frame in frames[:6]}
    if event == "open":
        return "linecache" in names and str(arguments[0]).endswith(".py") and not _writes(arguments)
    parsers = ("_signature_fromstr", "_extract_caret_anchors_from_line_segment")  # that underlines an error
    return event == "compile" and any(frame.f_code.co_name in parsers for frame in frames[:4])


@cache
def _modules() -> frozenset[str]:
    """The modules that files may have imported: those of the classes and functions that Saver lists."""
    names = [
        *words.references(),
        *canaries.NAMES,
        *(name for names in words.CLASSES.values() for name in names),
    ]
    return frozenset(name.partition(":")[0] for name in names)


def _is_admitted(frames: list[types.FrameType]) -> bool:
    """Whether it belongs to the import of a module that files may ask for, or of Saver's own code for it."""
    for frame in frames:
        place = (frame.f_globals.get("__name__"), frame.f_code.co_name)
        if place == ("saver.trust", "resolve"):
            return frame.f_locals.get("module_name") in _modules()
        if place == ("saver.family", "module"):
            return str(frame.f_locals.get("name")).startswith("saver.families.")
    return False
