"""No reviewed class of Transformers opens a path, or fetches an address, that stands in a file."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import classes
import pytest

transformers = pytest.importorskip("transformers")
pytest.importorskip("torch")

from tokenizers import Tokenizer, models  # noqa: E402

import saver  # noqa: E402
from saver import trust  # noqa: E402
from saver.errors import CannotSaveError, IncompatibleError, NotFoundError, UntrustedError  # noqa: E402
from saver.families.transformers import files  # noqa: E402

pytestmark = [pytest.mark.xdist_group("transformers"), pytest.mark.filterwarnings("ignore")]

OPENS = frozenset(
    (
        "LoadFromFile", "Load", "cached_file", "copy2", "copyfile", "fromfile", "from_file",
        "from_pretrained",
        "hf_hub_download", "import_module", "listdir", "load", "load_audio", "load_image", "load_json",
        "load_spm", "load_video", "memmap", "open", "read_bytes", "read_text", "rmtree", "snapshot_download",
        "truetype", "unlink", "urlopen",
    )
)  # fmt: skip
"""Functions that open what an argument names."""

NOT_OPENED = {
    "_audio_processor": "a property: the feature extractor, whose rate goes beside what the caller gives",
    "audio_sampling_rate": "a number beside what the caller gives",
    "chat_template": "its names have no separators of paths",
    "sampling_rate": "a number beside what the caller gives",
    "vocab_files_names": "the class has them alone",
}
"""Attributes in the arguments of such calls that cannot name what is elsewhere, and why."""


def listed() -> list[type]:
    found = []
    for name in classes.load("transformers")["codecs"]["transformers.object"]:
        try:
            found.append(trust.resolve(name))
        except (NotFoundError, IncompatibleError):
            continue
    return found


def own(given: ast.AST, local: dict[str, set[str]]) -> Iterator[str]:
    """The attributes of the object in an expression, also by way of local variables."""
    for found in ast.walk(given):
        if isinstance(found, ast.Name):
            yield from local.get(found.id, ())
        elif isinstance(found, ast.Attribute):
            steps, value = [found.attr], found.value
            while isinstance(value, ast.Attribute):
                steps.append(value.attr)
                value = value.value
            if isinstance(value, ast.Name) and value.id == "self":
                yield steps[-1]


def opened(cls: type) -> Iterator[str]:
    """The attributes that the methods of a class hand to what opens paths."""
    for function in vars(cls).values():
        if not inspect.isfunction(function) or function.__name__ == "__init__":
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        except (OSError, SyntaxError):
            continue
        local: dict[str, set[str]] = {}
        for each in ast.walk(tree):
            if isinstance(each, (ast.Assign, ast.For)):
                targets = each.targets if isinstance(each, ast.Assign) else [each.target]
                value = each.value if isinstance(each, ast.Assign) else each.iter
                for name in (found for target in targets for found in ast.walk(target)):
                    if isinstance(name, ast.Name):
                        local.setdefault(name.id, set()).update(own(value, local))
        for call in (each for each in ast.walk(tree) if isinstance(each, ast.Call)):
            if getattr(call.func, "attr", getattr(call.func, "id", "")) in OPENS:
                for given in (*call.args, *(keyword.value for keyword in call.keywords)):
                    yield from own(given, local)


def test_what_a_class_opens_does_not_come_from_a_file() -> None:
    """Of each class that loads without trust, and of those that it derives from."""
    bases = {base for cls in listed() for base in cls.__mro__ if base.__module__.startswith("transformers.")}
    known = {base: set(opened(base)) for base in bases}
    known = {
        base: {name for name in names if not callable(getattr(base, name, None))}
        for base, names in known.items()
    }
    marian = trust.resolve("transformers.models.marian.tokenization_marian:MarianTokenizer")
    assert "spm_files" in known[marian]  # it is found
    for cls in listed():
        form = files.form_of(cls)
        forgotten = {*form.paths, *form.models, "sp_model_kwargs"} if form else set()
        for base in cls.__mro__:
            for name in known.get(base, ()):
                assert name in forgotten or name in NOT_OPENED, (cls, base, name)


@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "GPT2Tokenizer", "CamembertTokenizer"])
def test_a_compiled_tokenizer_knows_no_files(name: str, tmp_path: Path) -> None:
    """`save_vocabulary` would copy any."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    made = compiled(name)
    made.vocab_file = str(secret)
    made.init_kwargs.update(vocab_file=str(secret), merges_file=str(secret), tokenizer_file=str(secret))
    data = saver.dumps(made)
    assert str(secret).encode() not in data
    forged = forged_with(made, str(secret))
    assert str(secret).encode() in forged
    for found in (saver.loads(data), saver.loads(forged)):
        assert str(secret) not in str(vars(found))
        with pytest.raises((AttributeError, OSError, TypeError)):
            found.save_vocabulary(str(tmp_path))
        found.save_pretrained(tmp_path / "saved")
        assert [path for path in tmp_path.rglob("*.*") if path.read_bytes() == b"secret"] == []
        assert found("a b").data == made("a b").data


def compiled(name: str) -> Any:
    cls = getattr(transformers, name)
    if name == "PreTrainedTokenizerFast":
        return cls(tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>")))
    return cls()


def forged_with(made: Any, secret: str) -> bytes:
    with pytest.MonkeyPatch.context() as forging:
        forging.setattr(files, "form_of", lambda cls: None)
        return saver.dumps(made)


@pytest.mark.parametrize(
    "name",
    [
        "bark.processing_bark:BarkProcessor",
        "ernie4_5_vl_moe.processing_ernie4_5_vl_moe:Ernie4_5_VLMoeProcessor",
        "ernie4_5_vl_moe.video_processing_ernie4_5_vl_moe:Ernie4_5_VLMoeVideoProcessor",
    ],
)  # fmt: skip
def test_those_that_must_open_what_a_file_names_need_trust(name: str) -> None:
    """The voices of the one lie in a repository or a folder; the others draw with a font."""
    try:
        cls = trust.resolve(f"transformers.models.{name}")
    except (NotFoundError, IncompatibleError):
        pytest.skip("this version does not have it")
    found: Any = object.__new__(cls)
    found.speaker_embeddings, found.font = {"repo_or_path": "/"}, "/secret"
    with pytest.raises(UntrustedError, match=cls.__name__):
        saver.loads(saver.dumps(found))


@pytest.mark.parametrize("name", ["../secret", "/secret", "a\\b", ".."])
def test_the_name_of_a_chat_template_is_not_a_path(name: str) -> None:
    made = compiled("GPT2Tokenizer")
    made.chat_template = {"default": "", name: ""}
    with pytest.raises(CannotSaveError, match="template"):
        saver.dumps(made)


def test_a_processor_calls_no_object_of_another_library() -> None:
    kernels = pytest.importorskip("sklearn.gaussian_process.kernels")
    made = transformers.Wav2Vec2Processor(transformers.Wav2Vec2FeatureExtractor(), compiled("GPT2Tokenizer"))
    assert saver.loads(saver.dumps(made)).to_dict() == made.to_dict()
    made.tokenizer = kernels.RBF()
    with pytest.raises(CannotSaveError, match="'tokenizer' may be a function"):
        saver.dumps(made)
