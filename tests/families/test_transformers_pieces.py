"""Tokenizers of Transformers with a SentencePiece model: they read texts the same, and know no files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

transformers = pytest.importorskip("transformers")
sentencepiece = pytest.importorskip("sentencepiece")
pytest.importorskip("torch")

import sentencepiece_models as small  # noqa: E402

import saver  # noqa: E402
from saver.errors import CannotSaveError, IncompatibleError, SaverError  # noqa: E402
from saver.families.transformers import codecs, files  # noqa: E402
from saver.testing import CodecTests  # noqa: E402
from saver.testing.codecs import StoredObject, load  # noqa: E402

pytestmark = [pytest.mark.xdist_group("transformers"), pytest.mark.filterwarnings("ignore")]

BACKED = (
    "BartphoTokenizer", "BertGenerationTokenizer", "GPTSw3Tokenizer", "PLBartTokenizer",
    "SentencePieceBackend", "SiglipTokenizer", "SpeechT5Tokenizer",
)  # fmt: skip
BESIDE = ("M2M100Tokenizer", "MarianTokenizer", "Speech2TextTokenizer")
"""Those that have a vocabulary beside the model."""

CLASSES = (*BACKED, *BESIDE)
MODELS = ("unigram", "bpe", "bytes", "symbols")
TEXTS = (*small.TEXTS, "in 1999 $ 5 <mask> </s> <new> fox", "the <c>\xadfox")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files_in(tmp_path_factory.mktemp("models"))


def files_in(folder: Path) -> Path:
    for model in MODELS:
        (folder / f"{model}.model").write_bytes(small.trained(model))
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{model}.model"))
        words = [pieces.IdToPiece(number) for number in reversed(range(len(pieces)))]
        words = [
            "<s>",
            "<pad>",
            "</s>",
            "<unk>",
            ">>fr<<",
            *(f"<lang:{each}>" for each in ("de", "fr")),
            *words,
        ]
        numbers = {word: number for number, word in enumerate(dict.fromkeys(words))}
        (folder / f"{model}.json").write_text(json.dumps(numbers))
    (folder / "dict.txt").write_text(
        "\n".join(f"{piece} 1" for piece in ("\u2581the", "\u2581fox", "a", "b"))
    )
    return folder


def tokenizer(name: str, folder: Path, model: str = "unigram", **settings: Any) -> Any:
    if name == "BartphoTokenizer":
        settings["monolingual_vocab_file"] = str(folder / "dict.txt")
    if name == "SentencePieceBackend":
        settings["unk_token"] = "<unk>"
    paths = {"vocab_file": str(folder / f"{model}.model")}
    if name in BESIDE:
        words = str(folder / f"{model}.json")
        paths = {"vocab_file": words, "spm_file": paths["vocab_file"]}
    if name == "MarianTokenizer":
        other = str(folder / "bpe.model")
        paths = {
            "source_spm": paths["spm_file"],
            "target_spm": other,
            "vocab": words,
            "target_vocab_file": words,
        }
    made = getattr(transformers, name)(**paths, **settings)
    made.add_tokens(["<new>"])
    return made


def answers(found: Any) -> list[Any]:
    read = [found(text)["input_ids"] for text in TEXTS]
    return [
        read,
        [found.decode(each) for each in read],
        found.get_vocab(),
        len(found),
        found.tokenize(TEXTS[0]),
    ]


class TestTokenizers(CodecTests):
    family = "transformers"
    samples: ClassVar[dict[str, Any]] = {
        name: lambda name=name: tokenizer(name, files_in(TestTokenizers.folder)) for name in CLASSES
    }
    folder: ClassVar[Path]

    @pytest.fixture(autouse=True)
    def files(self, folder: Path) -> None:
        TestTokenizers.folder = folder

    def same(self, saved: Any, loaded: Any) -> bool:
        return super().same(saved, loaded) and answers(saved) == answers(loaded)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("model", MODELS)
def test_a_tokenizer_reads_texts_the_same(name: str, model: str, folder: Path) -> None:
    made = tokenizer(name, folder, model)
    found = saver.loads(saver.dumps(made))
    assert answers(made) == answers(found)
    assert vars(made).keys() == vars(found).keys()


SETTINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("SpeechT5Tokenizer", {"normalize": True}), ("SiglipTokenizer", {"do_lower_case": False}),
    ("PLBartTokenizer", {"language_codes": "multi", "src_lang": "python", "tgt_lang": "en_XX"}),
    ("BertGenerationTokenizer", {"sp_model_kwargs": {"add_bos": True, "alpha": 0.2}}),
    ("BertGenerationTokenizer", {"legacy": False}),
)  # fmt: skip


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_settings_come_back(name: str, settings: dict[str, Any], folder: Path) -> None:
    if "legacy" in settings:
        pytest.importorskip("google.protobuf")
    made = tokenizer(name, folder, **settings)
    answers(made)  # one makes a normalizer for numbers
    found = saver.loads(saver.dumps(made))
    assert answers(made) == answers(found)
    assert all(getattr(found, key) == getattr(made, key) for key in settings)


@pytest.mark.slow
def test_a_fresh_process_reads_texts_the_same(folder: Path, tmp_path: Path) -> None:
    for name in CLASSES:
        made = tokenizer(name, folder, "symbols")
        saver.dump([made, answers(made)], tmp_path / f"{name}.saver")
    program = (
        f"import sys, saver\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_transformers_pieces as test\n"
        "for name in test.CLASSES:\n"
        f"    found, expected = saver.load({str(tmp_path)!r} + f'/{{name}}.saver')\n"
        "    assert test.answers(found) == expected, name\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=300)


@pytest.mark.parametrize("name", CLASSES)
def test_a_loaded_one_writes_its_files_and_knows_no_others(name: str, folder: Path, tmp_path: Path) -> None:
    made = tokenizer(name, folder)
    data = saver.dumps(made)
    assert str(folder).encode() not in data
    found = saver.loads(data)
    assert str(folder) not in str(vars(found))
    assert getattr(found, "vocab_file", "") == ""
    found.save_pretrained(tmp_path)
    again = type(found).from_pretrained(tmp_path)
    assert [again(text)["input_ids"] for text in TEXTS] == answers(made)[0]


def test_it_is_restored_in_place(folder: Path, tmp_path: Path) -> None:
    made, other = tokenizer("GPTSw3Tokenizer", folder, "bpe"), tokenizer("GPTSw3Tokenizer", folder)
    store = saver.Saver(tmp_path)
    store.save("words", {"tokenizer": made})
    store.restore("words", into={"tokenizer": other})
    assert answers(other) == answers(made)


def test_a_processor_with_one_comes_back(folder: Path) -> None:
    made = transformers.SpeechT5Processor(
        transformers.SpeechT5FeatureExtractor(), tokenizer("SpeechT5Tokenizer", folder)
    )
    found = saver.loads(saver.dumps(made))
    assert found.to_dict() == made.to_dict()
    assert found(text="the fox")["input_ids"] == made(text="the fox")["input_ids"]


class TestHostile:
    """What a file could put into a tokenizer."""

    def stored(self, name: str, folder: Path) -> tuple[StoredObject, dict[str, Any]]:
        saved = StoredObject(tokenizer(name, folder))
        node = next(node for node in saved.nodes() if str(node.get("class")).endswith(name))
        return saved, node["state"]

    @pytest.mark.parametrize("name", CLASSES)
    def test_a_path_is_not_taken_from_a_file(
        self, name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`save_vocabulary` would copy the file."""
        secret, out = tmp_path / "secret", tmp_path / "out"
        secret.write_text("secret")
        out.mkdir()
        made = tokenizer(name, folder)
        form = files.form_of(type(made))
        assert form
        for path, kept in form.paths.items():
            setattr(made, path, [str(secret)] * 2 if kept == ["", ""] else str(secret))
        for path in (*form.paths, *made.vocab_files_names):
            made.init_kwargs[path] = str(secret)
        with monkeypatch.context() as forging:
            real = files.form_of
            forging.setattr(files, "form_of", lambda cls: real(cls) and real(cls)._replace(paths={}))
            forging.setattr(files, "settings", lambda obj: dict(vars(obj)["init_kwargs"]))
            data = saver.dumps(made)
        assert str(secret).encode() in data
        found = saver.loads(data)
        assert str(secret) not in str(vars(found))
        found.save_pretrained(out)
        assert not [file for file in out.iterdir() if file.read_bytes() == b"secret"]

    @pytest.mark.parametrize("name", [*CLASSES, "ByT5Tokenizer", "BertTokenizer"])
    def test_the_names_of_the_files_that_it_writes_are_those_of_its_class(
        self, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = tokenizer(name, folder) if name in CLASSES else getattr(transformers, name)()
        made.vocab_files_names = {"vocab_file": "/elsewhere"}
        with pytest.raises(CannotSaveError, match="vocab_files_names"):
            saver.dumps(made)
        with monkeypatch.context() as forging:
            forging.setattr(codecs, "_OF_THE_CLASS", frozenset())
            forging.setattr(codecs, "_data", {})
            data = saver.dumps(made)
        with pytest.raises(IncompatibleError, match="vocab_files_names"):
            saver.loads(data)

    @pytest.mark.parametrize("option", ["model_file", "model_proto"])
    def test_options_that_name_another_model_are_refused(self, option: str, folder: Path) -> None:
        """A copy of a tokenizer would load it."""
        for change in (lambda made: made.sp_model_kwargs, lambda made: made.init_kwargs["sp_model_kwargs"]):
            made = tokenizer("SiglipTokenizer", folder)
            made.init_kwargs["sp_model_kwargs"] = {}
            change(made)[option] = "model"
            with pytest.raises(CannotSaveError, match="another model"):
                saver.dumps(made)

    @pytest.mark.parametrize("value", [None, 1, {"$": "dict", "state": {}}])
    def test_one_without_a_model_is_refused(self, value: Any, folder: Path) -> None:
        saved, state = self.stored("GPTSw3Tokenizer", folder)
        state["sp_model"] = value
        with pytest.raises(IncompatibleError):
            load(saved, ())

    def test_one_without_its_settings_is_refused(self, folder: Path) -> None:
        saved, state = self.stored("GPTSw3Tokenizer", folder)
        for value in (None, 1, []):
            state["init_kwargs"] = value
            with pytest.raises(IncompatibleError):
                load(saved, ())
        made = tokenizer("GPTSw3Tokenizer", folder)
        made.init_kwargs = None
        with pytest.raises(CannotSaveError, match="init_kwargs"):
            saver.dumps(made)

    def test_a_normalizer_of_another_class_is_not_called(self, folder: Path) -> None:
        made = tokenizer("SpeechT5Tokenizer", folder, normalize=True)
        made.normalizer = tokenizer("SpeechT5Tokenizer", folder)
        with pytest.raises(CannotSaveError, match="_normalizer"):
            saver.dumps(made)
        saved, state = self.stored("SpeechT5Tokenizer", folder)
        state["_normalizer"] = {"$": "function", "class": "numpy:abs"}
        try:
            found = load(saved, ())
        except SaverError:
            return
        assert vars(found)["_normalizer"] is None
