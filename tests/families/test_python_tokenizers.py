"""Tokenizers of Transformers that are written in Python come back with their vocabulary and added tokens."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("transformers")

import transformers
from transformers.tokenization_python import PreTrainedTokenizer

import saver
from saver.errors import CannotSaveError, UntrustedError
from saver.testing import CodecTests
from saver.testing.codecs import bytes_of

pytestmark = [pytest.mark.xdist_group("transformers"), pytest.mark.filterwarnings("ignore")]

FILES = {
    "letters.json": json.dumps({"<unk>": 0, "a": 1, "b": 2, "|": 3, "<pad>": 4}),
    "pairs.json": json.dumps({"<unk>": 0, "a</w>": 1, "b": 2, "ab</w>": 3, "a@@": 4}),
    "merges.txt": "#version\na b</w>\n",
    "acids.txt": "<cls>\n<pad>\n<eos>\n<unk>\nA\nB\n<mask>\n",
}
KINDS: dict[str, dict[str, str]] = {
    "ByT5Tokenizer": {},
    "CanineTokenizer": {},
    "CTRLTokenizer": {"vocab_file": "pairs.json", "merges_file": "merges.txt"},
    "EsmTokenizer": {"vocab_file": "acids.txt"},
    "PerceiverTokenizer": {},
    "Wav2Vec2CTCTokenizer": {"vocab_file": "letters.json"},
}
"""Tokenizer → the files that it is made from."""

TEXTS = ("ab <new> b", "A B", "")


class Words(PreTrainedTokenizer):
    """One of the user's own."""

    def __init__(self, words: Any, **settings: Any) -> None:
        self.words = list(words)
        super().__init__(unk_token="<unk>", **settings)

    @property
    def vocab_size(self) -> int:
        return len(self.words)

    def get_vocab(self) -> dict[str, int]:
        return {**dict(zip(self.words, range(len(self.words)), strict=True)), **self.added_tokens_encoder}

    def _tokenize(self, text: str, **settings: Any) -> list[str]:
        return text.split()

    def _convert_token_to_id(self, token: str) -> int:
        return self.words.index(token) if token in self.words else 0

    def _convert_id_to_token(self, index: int) -> str:
        return str(self.words[index])


def made(kind: str, folder: Path) -> Any:
    for name, text in FILES.items():
        (folder / name).write_text(text)
    files = {argument: str(folder / name) for argument, name in KINDS[kind].items()}
    found = getattr(transformers, kind)(**files)
    found.add_tokens(["<new>"])
    return found


def answers(found: Any) -> list[Any]:
    coded = [dict(found(text)) for text in TEXTS]
    return [coded, [found.decode(each["input_ids"]) for each in coded], found.get_vocab(), repr(found)]


@pytest.mark.parametrize("kind", KINDS)
def test_it_cuts_texts_as_before_and_takes_more_tokens(kind: str, tmp_path: Path) -> None:
    first = made(kind, tmp_path)
    found = saver.loads(saver.dumps(first))
    assert answers(found) == answers(first)
    for each in (first, found):
        each.add_tokens(["<more>"])
    assert answers(found) == answers(first)
    assert found("a<more>").data == first("a<more>").data
    assert bytes_of(found) == bytes_of(first)


@pytest.mark.shows("Transformers", "save", "load")
def test_a_fresh_process_without_the_files_says_the_same(tmp_path: Path) -> None:
    for kind in KINDS:
        found = made(kind, tmp_path)
        saver.dump({"tokenizer": found, "answers": answers(found)}, tmp_path / f"{kind}.saver")
    for name in FILES:
        (tmp_path / name).unlink()
    program = (
        "import sys, saver\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_python_tokenizers import KINDS, answers\n"
        "for kind in KINDS:\n"
        f"    found = saver.load(f'{tmp_path}/{{kind}}.saver')\n"
        "    assert answers(found['tokenizer']) == found['answers'], kind\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=300)


class TestTokenizers(CodecTests):
    family = "transformers"
    samples: ClassVar[dict[str, Callable[[], Any]]] = {
        "bytes": transformers.ByT5Tokenizer, "characters": transformers.CanineTokenizer,
    }  # fmt: skip


def test_one_of_the_users_own_needs_trust() -> None:
    data = saver.dumps(Words(["<unk>", "red", "blue"]))
    with pytest.raises(UntrustedError, match="Words"):
        saver.loads(data)
    found = saver.loads(data, trust=[f"{__name__}.*"])
    assert found("red blue green")["input_ids"] == [1, 2, 0]


def test_one_that_holds_a_function_without_a_name_is_refused() -> None:
    found = Words(["<unk>"])
    found.clean = lambda text: text
    with pytest.raises(CannotSaveError, match="lambda"):
        saver.dumps(found)
