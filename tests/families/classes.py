"""Writes down by name which classes the codecs of a family may be asked for.

    python tests/families/classes.py [FAMILY]
    python tests/families/classes.py torch --source FOLDER VERSION

The first adds what the installed library has to `src/saver/families/*/classes.json`; the second what the
Python files of another version have, which lie in FOLDER as in its wheel, and of which nothing is run.
Names are only ever added: files of older versions ask for them. It prints those that are new: look at each
before it is committed, and leave out (`LEFT_OUT`) what calls functions or opens files.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import pkgutil
import sys
import warnings
from collections.abc import Callable, Container, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

_KERAS = tuple(
    f"keras.src.{name}"
    for name in (
        "activations", "applications", "constraints", "dtype_policies", "initializers", "layers", "losses",
        "metrics", "models", "ops", "optimizers", "quantizers", "random", "regularizers",
    )
)  # fmt: skip
"""Where Keras defines what its configurations name."""

_NNX = ("flax.nnx.nn", "flax.nnx.rnglib", "flax.nnx.training")
_TORCH_MODULES = ("torch.nn.modules", "torch.optim.swa_utils")

_ARCHITECTURES = (
    "albert", "bart", "beit", "bert", "bloom", "camembert", "clip", "convnext", "deberta_v2",
    "deit", "dinov2", "distilbert", "electra", "falcon", "gemma", "gemma2", "gpt2", "gpt_neo",
    "gpt_neox", "hubert", "llama", "longformer", "marian", "mbart", "mistral", "mixtral",
    "modernbert", "mpnet", "mt5", "opt", "pegasus", "phi", "qwen2", "qwen3", "resnet", "roberta",
    "segformer", "swin", "t5", "vit", "whisper", "xlm_roberta", "xlnet",
)  # fmt: skip
"""The models of Transformers that load without trust."""

PLACES: dict[str, dict[str, tuple[str, ...]]] = {
    "equinox": {"equinox.module": ("equinox.nn",)},
    "flax": {
        "flax.TrainState": ("flax.training",),
        "flax.module": (*_NNX, "flax.nnx.helpers", "flax.nnx.module", "flax.nnx.pytreelib"),
        "flax.variable": (*_NNX, "flax.nnx.variablelib"),
    },
    "keras": {
        "keras.function": ("keras.activations", "keras.losses", "keras.metrics"),
        "keras.object": ("keras",),
    },
    "sklearn": {
        "sklearn.estimator": ("sklearn",),
        "sklearn.loss": ("sklearn",),
        "sklearn.object": ("sklearn",),
    },
    "category_encoders": {"sklearn.estimator": ("category_encoders",)},
    "feature_engine": {"sklearn.estimator": ("feature_engine",)},
    "imblearn": {"sklearn.estimator": ("imblearn",), "sklearn.object": ("imblearn",)},
    "lightgbm": {"lightgbm.estimator": ("lightgbm.sklearn",)},
    "skorch": {"derived": ("skorch.history",), "skorch.net": ("skorch",), "skorch.object": ("skorch",)},
    "statsmodels": {
        "statsmodels.object": ("statsmodels",),
        "statsmodels.space": ("statsmodels.tsa.statespace",),
    },
    "tensorflow": {
        "tensorflow.module": ("tensorflow.python.module.module", "tensorflow.python.trackable.autotrackable")
    },
    "torchmetrics": {"torch.Module": ("torchmetrics",)},
    "transformers": {
        "torch.Module": (
            "transformers.activations",
            "transformers.modeling_layers",
            "transformers.pytorch_utils",
            *(f"transformers.models.{name}.modeling_{name}" for name in _ARCHITECTURES),
        ),
        "torch.Optimizer": ("transformers.optimization",),
        "transformers.object": ("transformers",),
    },
    "xgboost": {"xgboost.estimator": ("xgboost.sklearn",)},
    "torch": {
        "torch.GradScaler": ("torch.amp", "torch.cpu.amp", "torch.cuda.amp"),
        "torch.LRScheduler": ("torch.optim",),
        "torch.Module": _TORCH_MODULES,
        "torch.Optimizer": ("torch.optim",),
        "torch.options": _TORCH_MODULES,
    },
}
"""The modules in which the classes of a codec lie, with those below them."""

LEFT_OUT: dict[str, tuple[str, ...]] = {
    "keras": (
        *(f"keras.{place}:{name}" for place in ("activations", "losses", "metrics")
          for name in ("deserialize", "get", "serialize")),
        *(f"keras:{name}" for name in (
            "Function", "Initializer", "InputSpec", "Loss", "Metric", "Operation", "Optimizer", "Quantizer",
            "Regularizer",
        )),
        *(f"keras.layers:{name}" for name in (
            "FlaxLayer", "JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper",
        )),
        *(f"keras.src.ops.core:{name}" for name in (
            "AssociativeScan", "Cond", "ForiLoop", "Map", "Scan", "Switch", "VectorizedMap", "WhileLoop",
        )),
        *(f"keras.src.layers.{name}" for name in (
            "convolutional.base_", "merging.base_", "pooling.base_", "preprocessing.data_layer:",
            "preprocessing.image_preprocessing.base_", "preprocessing.index_lookup:",
            "regularization.spatial_dropout:Base", "rnn.conv_lstm:",
        )),
        "keras._legacy.", "keras.distillation:", "keras.src.backend.",
        "keras.src.initializers.random_initializers:RandomInitializer",
        "keras.src.losses.losses:LossFunctionWrapper", "keras.src.metrics.confusion_metrics:",
        "keras.src.metrics.iou_metrics:", "keras.src.ops.linalg:JVP", "keras.src.optimizers.base_optimizer:",
        "keras.src.quantizers.quantizers:",
    ),
    "torchmetrics": tuple(
        f"torchmetrics.{name}"
        for name in (
            "audio.dnsmos", "audio.nisqa", "audio.pesq", "audio.srmr", "audio.stoi", "functional",
            "image.arniqa", "image.dists", "image.fid", "image.inception", "image.kid", "image.lpip",
            "image.mifid", "image.perceptual_path_length", "multimodal", "text._deprecated:_SacreBLEUScore",
            "text._deprecated:_TranslationEditRate", "text.bert", "text.infolm", "text.sacre_bleu",
            "text.ter", "video.vmaf", "wrappers.feature_share",
        )
    ),
    "transformers": tuple(
        f"transformers.{name}"
        for name in (
            "feature_extraction_utils:FeatureExtractionMixin",
            "generation.watermarking:BayesianDetectorConfig",
            "image_processing_base:ImageProcessingMixin",
            "image_processing_utils:BaseImageProcessor",
            "models.bark.generation_configuration_bark:BarkCoarseGenerationConfig",
            "models.bark.generation_configuration_bark:BarkFineGenerationConfig",
            "models.bark.generation_configuration_bark:BarkGenerationConfig",
            "models.bark.generation_configuration_bark:BarkSemanticGenerationConfig",
            "models.diffusion_gemma.generation_diffusion_gemma:DiffusionGemmaGenerationConfig",
            "tokenization_python:ExtensionsTrie", "tokenization_python:PythonBackend",
            "video_processing_utils:BaseVideoProcessor",
            "video_processing_utils:VideoProcessorMixin",
            "models.bark.processing_bark:", "models.ernie4_5_vl_moe.processing_",
            "models.ernie4_5_vl_moe.video_processing_",
            "models.bert.tokenization_bert_legacy:", "models.cpm.tokenization_cpm_fast:",
            *(f"models.{name}.tokenization_{name}:" for name in (
                "bert_japanese", "bertweet", "biogpt", "blenderbot_small", "clvp", "cpm",
                "cpmant", "dia", "fastspeech2_conformer", "flaubert", "fsmt", "gpt_neox_japanese",
                "mgp_str", "myt5", "phobert", "prophetnet", "roc_bert",
                "roformer", "tapas", "vits", "wav2vec2_phoneme", "xlm",
            )),
        )
    ),
}  # fmt: skip
"""How the names of classes begin that a review left out: those that fetch networks, call functions, run other
libraries, have no data form, or stand for others that derive from them."""

_HELPERS = frozenset(
    (
        "_build_utils", "_mocking", "_test_common", "_testing", "conftest", "estimator_checks", "externals",
        "sandbox", "setup", "testing", "tests",
    )
)  # fmt: skip
"""Steps in the names of modules that build and test the library, or are not finished."""

_SOURCE_BASES = {
    "torch.GradScaler": "GradScaler",
    "torch.LRScheduler": "LRScheduler",
    "torch.Module": "Module",
    "torch.Optimizer": "Optimizer",
}


def path_of(family: str) -> Path:
    return ROOT / "src" / "saver" / "families" / family / "classes.json"


def load(family: str) -> dict[str, Any]:
    path = path_of(family)
    return json.loads(path.read_text()) if path.exists() else {"versions": [], "codecs": {}}


def version_of(family: str) -> str:
    """The installed version, whatever it was built for."""
    return str(import_module(family).__version__).partition("+")[0]


def order(version: str) -> tuple[int, ...]:
    return tuple(int(step) for step in version.split(".") if step.isdecimal())


_APART = ("convert_", "modeling_", "modular_")
"""How the modules of Transformers begin that are imported only where a place names them: what converts files,
models, and what others are generated from."""


def _helps(module: str) -> bool:
    return not _HELPERS.isdisjoint(module.split("."))


def _lies_in(module: str, places: Iterable[str]) -> bool:
    return any(f"{module}.".startswith(f"{place}.") for place in places)


def _imported(name: str) -> Any:
    """The module, or None where it needs what is not installed."""
    try:
        return import_module(name)
    except Exception as error:
        print(f"{name} cannot be imported: {type(error).__name__}: {error}", file=sys.stderr)
        return None


def modules(places: Iterable[str]) -> Iterator[Any]:
    """The modules of these places and below, imported."""
    for place in places:
        found = _imported(place)
        yield found
        for info in pkgutil.walk_packages(getattr(found, "__path__", ()), f"{place}.", lambda name: None):
            last = info.name.rpartition(".")[2]
            # messages are registered once in a process: a second module of the same ones cannot be imported
            apart = last.startswith(_APART) or last.endswith("_test") or "_pb2" in last
            if not apart and not _helps(info.name) and (module := _imported(info.name)):
                yield module


def _name(cls: type) -> str | None:
    """What a file calls the class; None where that does not lead to it."""
    from saver import trust
    from saver.errors import CannotSaveError

    try:
        name = trust.class_name(cls)
    except CannotSaveError:
        return None
    found: Any = sys.modules.get(cls.__module__)
    for step in cls.__qualname__.split("."):
        found = getattr(found, step, None)
    return name if found is cls else None


def _classes(holder: Any) -> Iterator[type]:
    for value in list(vars(holder).values()):
        if isinstance(value, type):
            yield value
            if holder is sys.modules.get(value.__module__):
                yield from (inner for inner in _classes(value) if inner.__module__ == value.__module__)


def _has_configuration(value: Any) -> bool:
    return isinstance(value, type) and hasattr(value, "get_config") and hasattr(value, "from_config")


_OF_KERAS: dict[str, Callable[[Any], bool]] = {
    "keras.function": inspect.isfunction,
    "keras.object": _has_configuration,
}
"""What the configurations of Keras may name: it is part of a layer, and no codec builds it by itself."""


def takes(codec: str, value: Any) -> bool:
    """Whether names of such values stand in the list of the codec."""
    from saver.codec import codec_named

    if codec in _OF_KERAS:
        return _OF_KERAS[codec](value)
    return isinstance(value, type) and codec_named(codec).accepts(value)


def _find_keras() -> dict[str, list[str]]:
    """By the first name under which Keras exports it, as in configurations; others by their modules."""
    from keras.src import api_export

    values = list(api_export.REGISTERED_NAMES_TO_OBJS.values())
    for module in modules(_KERAS):
        values += _classes(module)
    found: dict[str, set[str]] = {codec: set() for codec in PLACES["keras"]}
    for value in values:
        public = api_export.get_name_from_symbol(value)
        name = ":".join(public.rpartition(".")[::2] if public else (value.__module__, value.__qualname__))
        for codec, places in PLACES["keras"].items():
            reviewed = _lies_in(name.partition(":")[0], places) and not name.startswith(LEFT_OUT["keras"])
            if reviewed and takes(codec, value):
                found[codec].add(name)
    return {codec: sorted(names) for codec, names in found.items()}


def find(family: str) -> dict[str, list[str]]:
    """The names of all classes of the installed version that can be those of an instance, by codec."""
    if family == "keras":
        return _find_keras()
    found: dict[str, set[str]] = {codec: set() for codec in PLACES[family]}
    left_out = LEFT_OUT.get(family, ())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        everywhere = {place for places in PLACES[family].values() for place in places}
        classes = {cls for module in modules(sorted(everywhere)) for cls in _classes(module)}
        for codec, places in PLACES[family].items():
            for cls in classes:
                if _helps(cls.__module__) or not _lies_in(cls.__module__, places) or inspect.isabstract(cls):
                    continue
                if takes(codec, cls) and (name := _name(cls)) and not name.startswith(left_out):
                    found[codec].add(name)
    return {codec: sorted(names) for codec, names in found.items()}


def _last(expression: ast.expr) -> str:
    return expression.attr if isinstance(expression, ast.Attribute) else getattr(expression, "id", "")


def _files(place: Path) -> list[Path]:
    return sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]


def read(family: str, folder: Path) -> dict[str, list[str]]:
    """The same from source: bases are known by the last step of their names."""
    defined: list[tuple[str, ast.ClassDef]] = []
    everywhere = sorted({place for places in PLACES[family].values() for place in places})
    for path in (path for place in everywhere for path in _files(folder / place.replace(".", "/"))):
        steps = path.relative_to(folder).with_suffix("").parts
        module = ".".join(steps[:-1] if steps[-1] == "__init__" else steps)
        if not _helps(module):
            body = ast.parse(path.read_bytes()).body
            defined += [(module, item) for item in body if isinstance(item, ast.ClassDef)]
    found: dict[str, list[str]] = {}
    for codec, places in PLACES[family].items():
        here = [(module, cls) for module, cls in defined if _lies_in(module, places)]
        root = _SOURCE_BASES.get(codec)
        names, count = {root}, -1
        members: list[tuple[str, str]] = []
        while len(members) > count:
            count = len(members)
            members = [
                (module, cls.name)
                for module, cls in here
                if (_is_dataclass(cls) if root is None else _derives(cls, names) or cls.name == root)
            ]
            names.update(name for _, name in members)
        found[codec] = sorted({f"{module}:{name}" for module, name in members})
    return found


def _derives(cls: ast.ClassDef, names: Container[str | None]) -> bool:
    return any(_last(base) in names for base in cls.bases)


def _is_dataclass(cls: ast.ClassDef) -> bool:
    return any(_last(getattr(item, "func", item)) == "dataclass" for item in cls.decorator_list)


def merge(family: str, version: str, found: dict[str, list[str]]) -> None:
    """Add the names to those on disk."""
    data = load(family)
    codecs = {
        codec: sorted({*data["codecs"].get(codec, ()), *found.get(codec, ())})
        for codec in sorted({*data["codecs"], *found})
    }
    known = {name for names in data["codecs"].values() for name in names}
    added = sorted({name for names in codecs.values() for name in names} - known)
    versions = sorted({*data["versions"], version}, key=order)
    path = path_of(family)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"versions": versions, "codecs": codecs}, indent=1) + "\n")
    counts = ", ".join(f"{len(names)} of {codec}" for codec, names in found.items())
    print(f"{family} {version}: {counts}; {len(added)} new", *added, sep="\n  ")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("family", nargs="?", choices=sorted(PLACES))
    parser.add_argument("--source", nargs=2, metavar=("FOLDER", "VERSION"))
    arguments = parser.parse_args()
    if arguments.source:
        if arguments.family != "torch":
            parser.error("--source reads torch only, whose classes are all written in Python")
        folder, version = arguments.source
        merge("torch", version, read("torch", Path(folder)))
        return
    for family in [arguments.family] if arguments.family else sorted(PLACES):
        merge(family, version_of(family), find(family))


if __name__ == "__main__":
    main()
