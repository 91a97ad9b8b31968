"""The files that a tokenizer was made of: what was in them is in the tokenizer, which writes them again.

Their paths are not saved. `save_vocabulary` copies the files that they name: paths of another machine, or in
a hostile file, would make it copy any file.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

SETTINGS = "init_kwargs"
"""The arguments that a tokenizer was made with."""


class Form(NamedTuple):
    """How the tokenizers of a class hold what was in their files: in models of SentencePiece. `paths` are the
    attributes that name the files, with what they become (None: those that are there); `anew` are attributes
    that are made anew."""

    models: tuple[str, ...] = ("sp_model",)
    paths: dict[str, Any] = {}  # noqa: RUF012
    anew: frozenset[str] = frozenset()


_NORMALIZER = "_normalizer"
_PUNCTUATION = "punc_normalizer"
_CUTTER = "jieba"
_RJIEBA = "rjieba"
"""The library that cuts Chinese texts, and the attribute in which the tokenizers of CPM hold it."""

_FORMS = {
    "transformers.models.cpm.tokenization_cpm:CpmTokenizer": Form(
        paths={"vocab_file": ""}, anew=frozenset((_CUTTER,))
    ),
    "transformers.models.cpm.tokenization_cpm_fast:CpmTokenizerFast": Form(
        (), {"vocab_file": None}, frozenset((_CUTTER,))
    ),
    "transformers.models.m2m_100.tokenization_m2m_100:M2M100Tokenizer": Form(
        paths={"vocab_file": "", "spm_file": ""}
    ),
    "transformers.models.marian.tokenization_marian:MarianTokenizer": Form(
        ("spm_source", "spm_target", "current_spm"), {"spm_files": ["", ""]}, frozenset((_PUNCTUATION,))
    ),
    "transformers.models.speech_to_text.tokenization_speech_to_text:Speech2TextTokenizer": Form(
        paths={"spm_file": ""}
    ),
    "transformers.tokenization_utils_sentencepiece:SentencePieceBackend": Form(
        paths={"vocab_file": "", "monolingual_vocab_file": ""}
    ),
    "transformers.tokenization_utils_tokenizers:TokenizersBackend": Form((), {"vocab_file": None}),
}
"""By class, for it and those that derive from it."""

_ARGUMENTS = frozenset(("merges_file", "monolingual_vocab_file", "spm_file", "tokenizer_file", "vocab_file"))


def form_of(cls: type) -> Form | None:
    """None for tokenizers that name no files or have no data form for what is in them."""
    if cls not in _found:
        names = (f"{base.__module__}:{base.__qualname__}" for base in cls.__mro__)
        found = next((_FORMS[name] for name in names if name in _FORMS), None)
        if found is not None and "monolingual_vocab_file" in found.paths:
            files: dict[str, str] = getattr(cls, "vocab_files_names", {})
            paths = {name: path for name, path in found.paths.items() if name in files}
            anew = frozenset((_NORMALIZER,)) if hasattr(cls, "normalizer") else found.anew
            found = found._replace(paths=paths, anew=anew)
        _found[cls] = found
    return _found[cls]


_found: dict[type, Form | None] = {}


def settings(obj: Any) -> dict[str, Any]:
    """The arguments that a tokenizer was made with, but for its files. Raises ValueError."""
    found = vars(obj).get(SETTINGS)
    if type(found) is not dict:
        raise ValueError(f"{SETTINGS} of a tokenizer is not a dict")
    form, names = form_of(type(obj)), set(getattr(type(obj), "vocab_files_names", ()))
    names |= {*_ARGUMENTS, *(form.paths if form else ())}
    return {name: value for name, value in found.items() if name not in names}


def check_anew(obj: Any, form: Form) -> None:
    """Raise ValueError if what would be made anew is the user's own."""
    found = vars(obj).get(_PUNCTUATION)
    if _PUNCTUATION in form.anew and getattr(found, "__qualname__", None) not in _OWN:
        raise ValueError(f"{_PUNCTUATION} is not the one that the tokenizer makes")
    if _CUTTER in form.anew and vars(obj).get(_CUTTER) is not sys.modules.get(_RJIEBA):
        raise ValueError(f"{_CUTTER} is not the module {_RJIEBA}, which the tokenizer imports")


_OWN = frozenset(("MarianTokenizer._setup_normalizer.<locals>.<lambda>", "MosesPunctNormalizer.normalize"))
"""What a tokenizer of Marian makes: with `sacremoses`, or without."""


def left_out(obj: Any, form: Form) -> frozenset[str]:
    """The attributes that are not saved."""
    paths = {name for name, path in form.paths.items() if path is not None or vars(obj).get(name) is not None}
    return frozenset((*paths, *form.anew, SETTINGS))


def forget(obj: Any, form: Form) -> None:
    """Let a tokenizer that was loaded know of no files, and make anew what it makes."""
    own = vars(obj)
    own[SETTINGS] = settings(obj)
    for name, path in form.paths.items():
        if path is None:
            if own.get(name) is not None:
                own[name] = None
        else:
            own[name] = list(path) if type(path) is list else path
    for name in form.anew:
        if name == _PUNCTUATION:
            type(obj)._setup_normalizer(obj)
        elif name == _CUTTER:
            import rjieba

            own[name] = rjieba
        else:
            own[name] = None
