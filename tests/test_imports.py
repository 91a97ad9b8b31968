"""The house's one rule, held by reading every file: imports point one way."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import saver
from house import (
    MODULES,
    Graph,
    circle,
    drawing,
    graph_of_folders,
    graph_of_modules,
    imports_of,
    layers,
    without,
)
from saver import registry

FRAMEWORKS = {
    "scipy", "sklearn", "torch", "pandas", "pyarrow", "jax", "tensorflow", "keras", "xgboost", "lightgbm",
    "catboost", "transformers", "tokenizers", "sentencepiece", "accelerate", "lightning", "optax", "flax",
    "equinox", "onnx", "torchmetrics", "statsmodels", "peft", "skorch", "sktime",
    "torchdata", "dateutil", "pytz", "joblib", "safetensors", "h5py", "skops", "skl2onnx", "onnxscript",
}  # fmt: skip
"""Packages that a user may not have."""

EVERYWHERE = {"numpy", "blake3", "msgspec"}
COMMAND_LINE = {"click", "rich", "matplotlib"}

# What each module may import of Saver at its top: a name stands for the module and all below it.
CONTRACTS = {
    "saver.errors": (),
    "saver.human": (),
    "saver.html": ("errors",),
    "saver.page": ("errors", "html"),
    "saver.times": ("human",),
    "saver.line": ("errors", "forks", "human"),
    "saver.logger": ("errors",),
    "saver.callers": ("errors", "logger"),
    "saver.forks": (),
    "saver.garbage": (),
    "saver.threads": (),
    "saver.memory": (),
    "saver.loopback": (),
    "saver.canonical": (),
    "saver.rules": (),
    "saver.stack": (),
    "saver.protobuf": (),
    "saver.tree": ("rules", "errors", "canonical", "stack", "strict", "tree"),
    "saver.strict": ("rules", "errors", "canonical", "stack"),
    "saver.tensors": ("rules", "human", "page", "strict", "tree", "tensors"),
    "saver.family": (),
    "saver.registry": ("errors", "family"),
    "saver.configuration": ("errors",),
    "saver.allowing": (),
    "saver.trust": ("allowing", "configuration", "errors", "tree", "family", "registry"),
    "saver.uses": ("trust", "registry"),
    "saver.reading": ("errors", "tree", "tensors", "trust", "registry", "reading"),
    "saver.admission": (),
    "saver.storage": ("admission", "mask", "errors", "tree"),
    "saver.disk": ("errors", "forks", "memory", "threads", "storage", "disk"),
    "saver.caching": ("errors", "logger", "mask", "storage", "disk", "caching"),
    "saver.recalling": ("caching", "errors", "policy", "repo", "sealing", "storages"),
    "saver.keys": (
        "page", "callers", "canonical", "disk", "errors", "human", "keys", "logger", "storage", "strict",
    ),
    "saver.storages": (
        "mask", "seal", "seals", "errors", "forks", "logger", "loopback", "threads", "storage", "disk",
        "storages",
    ),
    "saver.mask": (),
    "saver.seal": ("storage",),
    "saver.seals": ("disk", "errors", "memory", "seal", "seals", "storage", "strict"),
    "saver.sealing": (
        "addresses", "admission", "errors", "human", "keys", "mask", "seals", "signing", "storage",
        "storages",
    ),
    "saver.holders": (
        "arguments", "creating", "errors", "keys", "line", "repo", "sealing", "storage", "store",
    ),
    "saver.opening": (
        "disk", "errors", "format", "opened", "pack", "repo", "sealing", "seals", "storage", "streams",
    ),
    "saver.git": (),
    "saver.environment": ("errors", "tree", "registry", "git"),
    "saver.codec": (
        "rules",
        "errors", "canonical", "stack", "tree", "tensors", "family", "registry", "trust", "uses", "codec",
    ),
    "saver.defaults": ("registry",),
    "saver.hyperparameters": ("errors", "tree", "tensors", "trust", "registry", "defaults"),
    "saver.registration": ("errors", "trust", "codec"),
    "saver.pack": (
        "rules",
        "errors", "garbage", "strict", "threads", "memory", "tree", "tensors", "registry", "storage", "pack",
    ),
    "saver.pickled": ("codec", "errors", "tensors", "tree"),
    "saver.families": (
        "rules",
        "callers", "errors", "tree", "tensors", "family", "registry", "trust", "uses", "codec", "reading",
        "restoring", "device", "protobuf",
        "framework", "random_states", "fingerprint", "training_log", "pickled", "format", "families",
        "predicting", "schema",
    ),
    "saver.signing": (
        "callers", "canonical", "configuration", "disk", "errors", "keys", "page", "strict", "signing",
    ),
    "saver.repo": (
        "rules", "logger", "callers", "page", "times", "human",
        "errors", "canonical", "strict", "stack", "forks", "threads", "tree",
        "tensors", "keys", "mask", "seal", "seals", "pack", "storage", "caching",
        "direction", "signing", "repo",
    ),
    "saver.schema": ("errors", "page", "strict", "schema"),
    "saver.predicting": (
        "allowing", "arguments", "codec", "demanding", "disk", "doctor", "encoding", "errors", "family",
        "human", "line", "needed", "opened", "opening", "page", "predicting", "random_states", "registry",
        "repo", "schema", "signed", "signing", "streams", "strict", "times", "tree", "trust",
    ),
    "saver.answering": (
        "arguments", "demanding", "opened", "predicting", "repo", "schema", "signing", "trust",
    ),
    "saver.lazy": ("tree", "codec"),
    "saver.needed": ("tree",),
    "saver.streams": ("errors", "storage", "disk", "pack"),
    "saver.opened": (
        "callers", "errors", "tree", "tensors", "registry", "trust", "codec", "storage", "repo", "signing",
        "environment", "garbage", "lazy", "needed",
    ),
    "saver.signed": ("opened", "repo", "signing", "storage"),
    "saver.demanding": ("arguments", "errors", "opened", "repo", "signed", "signing", "storage"),
    "saver.verifying": ("arguments", "demanding", "line", "repo", "signed", "signing"),
    "saver.annotating": ("details", "repo"),
    "saver.encoding": (
        "allowing", "callers", "errors", "tree", "tensors", "registry", "trust", "codec", "storage", "repo",
        "git", "environment", "garbage", "opened",
    ),
    "saver.restoring": (
        "callers", "page", "human", "errors", "rules", "garbage", "stack", "tree", "tensors", "trust",
        "codec", "reading", "storage", "opened", "restoring",
    ),
    "saver.compare": (
        "page", "errors", "threads", "tree", "trust", "reading",
        "hyperparameters", "storage", "repo", "opened", "fingerprint",
        "compare", "predicting",
    ),
    "saver.fingerprint": ("errors", "stack", "threads", "family", "registry", "fingerprint"),
    "saver.direction": (),
    "saver.policy": ("direction", "policy"),
    "saver.training_log": ("errors", "registry", "disk", "plotting", "training_log"),
    "saver.plotting": ("errors", "disk", "plotting"),
    "saver.framework": ("errors", "family", "registry"),
    "saver.random_states": ("framework",),
    "saver.device": (),
    "saver.staging": ("threads", "memory", "tensors", "device", "torn"),
    "saver.torn": ("tensors",),
    "saver.checkpoints": (
        "answering", "logger", "forks", "line", "page",
        "arguments", "callers", "details", "errors", "tree", "trust", "codec", "git", "environment",
        "framework", "random_states", "encoding",
        "opened",
        "policy",
        "cluster", "demanding", "distributed",
        "repo", "staging", "tensors", "torn", "training_log", "restoring", "pruning", "checkpoints",
    ),
    "saver.rehearsal": (
        "opening", "errors", "storage", "environment", "framework", "random_states", "encoding",
        "opened", "repo",
        "training_log", "restoring", "compare", "storages", "file", "checkpoints", "rehearsal",
    ),
    "saver.documents": ("description", "human", "repo", "signing", "documents"),
    "saver.doctor": ("allowing", "family", "git", "environment", "registry"),
    "saver.description": (
        "allowing", "page", "times", "human", "needed",
        "errors", "tree", "tensors", "trust", "hyperparameters", "repo", "opened",
        "environment", "predicting", "schema",
    ),
    "saver.card": (
        "card", "description", "disk", "environment", "human", "errors", "opened", "page", "plotting",
        "repo", "signing", "storage", "streams", "times",
    ),
    "saver.arguments": ("seals", "disk", "errors", "tree", "trust", "codec"),
    "saver.addresses": ("storages", "arguments", "caching", "registry", "repo", "storage"),
    "saver.cluster": (),
    "saver.clusters": (
        "addresses", "arguments", "cluster", "clusters", "errors", "registry", "storage", "strict",
    ),
    "saver.distributed": (
        "caching", "cluster", "disk", "distributed", "environment", "errors", "logger", "opened", "repo",
        "restoring", "seal", "seals",
        "storage", "tensors", "threads",
    ),
    "saver.detached": ("errors", "handle", "repo", "storage", "staging", "torn"),
    "saver.pruning": ("errors", "opened", "policy", "repo", "storage"),
    "saver.clear": ("callers", "opened", "repo"),
    "saver.hub": ("clear", "pushing", "registry", "repo", "storage"),
    "saver.hubs": (
        "admission", "caching", "canonical", "card", "details", "disk", "encoding", "errors", "exporting",
        "file", "hub", "hubs", "keys", "logger", "mask", "opened", "opening", "pushing", "registry", "repo",
        "sealing", "seals", "storage", "storages", "strict",
    ),
    "saver.pushing": (
        "caching", "encoding", "errors", "human", "logger", "opened", "pack", "page", "repo", "storage",
    ),
    "saver.creating": ("disk", "errors", "logger", "repo", "storages"),
    "saver.importing": ("clear", "opening", "details", "encoding", "file", "repo", "storage", "streams"),
    "saver.access": ("doctor", "repo", "storages"),
    "saver.details": ("arguments", "fingerprint", "repo", "storage"),
    "saver.handle": ("callers", "errors", "forks", "repo"),
    "saver.file": (
        "sealing", "opening", "errors", "arguments", "tree", "tensors", "storage", "disk", "pack",
        "repo", "format",
        "git", "garbage", "environment", "encoding", "opened", "description", "streams", "compare",
        "restoring", "line", "signed", "signing", "answering",
    ),
    "saver.example": (),
    "saver.format": ("errors", "example", "page", "registry", "trust", "storage", "opened"),
    "saver.exporting": (
        "clear", "sealing", "opening", "arguments", "disk", "errors", "file", "format", "human", "line",
        "opened", "page", "signed", "storage",
        "streams",
    ),
    "saver.formats": (
        "opening", "errors", "strict", "stack", "trust", "storage", "disk", "streams", "pack",
        "repo", "reading",
        "callers", "tensors", "tree", "encoding", "environment", "opened", "compare", "file", "format",
        "formats", "registry", "codec", "pickled", "protobuf", "threads", "garbage", "forks",
    ),
    "saver.migrating": (
        "opening", "arguments", "details", "disk", "encoding", "errors", "file", "format", "human",
        "line", "opened",
        "page", "repo", "storage", "store", "times", "trust", "migrating",
    ),
    "saver.store": (
        "sealing", "opening", "addresses", "card", "cluster", "clusters", "distributed", "errors",
        "arguments", "pushing",
        "hub", "registry", "storage", "repo", "environment", "encoding", "opened",
        "description", "exporting", "format", "file", "streams", "compare", "restoring", "line",
        "demanding", "signing", "verifying", "answering",
    ),
    "saver.saver": (
        "answering",
        "opening", "cluster", "clusters", "distributed", "arguments", "recalling",
        "handle", "hub", "storage", "repo", "git", "environment", "encoding", "file", "store",
        "streams", "checkpoints", "rehearsal", "policy", "details", "detached", "pruning", "pushing",
        "line", "creating", "importing", "holders", "annotating", "demanding", "signing", "verifying",
    ),
}  # fmt: skip

CONNECTED = ("saver.clusters.jax", "saver.clusters.ray", "saver.clusters.torch")
"""These import what connects the ranks, once it is requested."""

JOINERS = ("saver.cli", "saver.serve", "saver.pages", "saver.testing", "saver.integrations", "saver.__main__")
"""Only these import `saver` itself."""


ABOUT_LIBRARIES = ("saver.families.", "saver.integrations.", "saver.formats.", "saver.clusters.")


def contract_of(module: str) -> tuple[str, ...] | None:
    while module:
        if module in CONTRACTS:
            return CONTRACTS[module]
        module = module.rpartition(".")[0]
    return None


@pytest.mark.parametrize(
    "module", [name for name in MODULES if name != "saver" and not name.startswith(JOINERS)]
)
def test_imports_point_one_way(module: str) -> None:
    allowed = contract_of(module)
    assert allowed is not None, f"say in {Path(__file__).name} what {module} may import"
    own = {name for name in imports_of(MODULES[module]) if name.partition(".")[0] == "saver"}
    roots = {name.removeprefix("saver").removeprefix(".").partition(".")[0] for name in own}
    assert roots <= set(allowed)


def graphs() -> list[Graph]:
    """What must have no circle: the folders, and the modules of the repository."""
    modules = graph_of_modules()
    repo = {name: others for name, others in modules.items() if name.startswith("saver.repo")}
    return [graph_of_folders(modules), repo]


def test_no_circle_of_imports_leads_across_folders_or_through_the_repository() -> None:
    for graph in graphs():
        assert circle(graph) == []


def test_a_circle_is_found_and_drawn_is_what_does_not_follow() -> None:
    chain = {"a": {"b", "c"}, "b": {"c"}, "c": set[str]()}
    assert circle(chain) == []
    assert layers(chain) == [["c"], ["b"], ["a"]]
    assert list(drawing(chain)) == ["graph TD", "    a --> b", "    b --> c"]
    around = chain | {"c": {"a"}}
    assert circle(around) == ["a", "b", "c"]
    assert circle(without(around, {("c", "a")})) == []
    with pytest.raises(ValueError, match="a -> b -> c"):
        layers(around)


def test_saver_itself_is_imported_by_those_who_join_things_only() -> None:
    importers = {module for module, path in MODULES.items() if {"saver", "saver.saver"} & imports_of(path)}
    assert {name for name in importers if not name.startswith(JOINERS)} == {"saver"}, "by its public names"


def test_the_repository_knows_no_python_object() -> None:
    for module, path in MODULES.items():
        if module.startswith(("saver.repo", "saver.pack", "saver.storage", "saver.seal")):
            assert not [
                name for name in imports_of(path) if name.startswith(("saver.codec", "saver.trust"))
            ], module


def test_contracts_do_not_know_their_implementations() -> None:
    """A plural folder is reached through the registry, never by an import."""
    for module, path in MODULES.items():
        if not module.startswith(("saver.families", "saver.testing", "saver.integrations")):
            assert not [name for name in imports_of(path) if name.startswith("saver.families.")], module


DEMO = {"saver.cli._digits", "saver.cli._killed", "saver.cli._resuming"}
"""What the demo trains: the only modules beside the families that know a library."""


BENEATH = {
    "pandas": ("pyarrow",), "transformers": ("torch", "tokenizers", "sentencepiece"), "lightning": ("torch",),
    "flax": ("jax", "optax"), "equinox": ("jax",), "skorch": ("torch",),
    "huggingface": ("transformers",), "_hdf5": ("h5py",), "keras": ("tensorflow",),
    "sklearn": ("skl2onnx", "scipy"), "torch": ("onnx", "onnxscript"),
}  # fmt: skip
"""Libraries that others are built upon, or are exported with."""


def test_a_library_is_imported_in_its_own_family_integration_and_format_alone() -> None:
    for module, path in MODULES.items():
        known = {name.partition(".")[0] for name in imports_of(path)} & FRAMEWORKS
        allowed = set[str]()
        if module.startswith(ABOUT_LIBRARIES):
            name = module.split(".")[2]
            packages = registry.family(name).packages if registry.known(name) else (name,)
            allowed = {*packages, *BENEATH.get(name, ())}
        assert module in DEMO or known <= allowed, f"{module} imports {known - allowed}"


def test_the_core_names_no_library() -> None:
    """Not in code, not in texts, not in comments: it asks families. The formats of other tools are not of the
    core."""
    named = re.compile(
        r"\b(torch|torchdata|sklearn|scipy|pandas|keras|tensorflow|jax|xgboost|lightgbm|catboost|dateutil"
        r"|optax|flax|equinox|transformers|tokenizers|sentencepiece)\b"
    )
    found = {
        f"{module}:{number}: {line.strip()}"
        for module, path in MODULES.items()
        if not module.startswith(
            ("saver.families.", "saver.formats.", "saver.integrations.", "saver.clusters.")
        )
        and module not in DEMO
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if named.search(line)
    }
    assert found == set()


@pytest.mark.parametrize(
    "module", [name for name in MODULES if name.startswith("saver.families.") and name.count(".") == 2]
)
def test_a_declaration_needs_nothing_of_its_library(module: str) -> None:
    """So the policy and everything that only reads a file work where the library is not installed."""
    family = registry.family(module.rpartition(".")[2])
    for name in (module, family.references, family.reading, family.pickles, family.files, family.older):
        if name:
            roots = {root.partition(".")[0] for root in imports_of(MODULES[name])}
            assert roots <= {*sys.stdlib_module_names, "numpy", "msgspec", "saver"}, name


def test_the_core_depends_on_three_packages() -> None:
    for module, path in MODULES.items():
        if module.startswith((*JOINERS, "saver.families", "saver.plotting", *CONNECTED)):
            continue
        if module in (
            "saver.storages.object.storage",
            "saver.hubs._registry",
        ):  # which only an address of a bucket imports
            continue
        shows = module.startswith(
            (
                "saver.training_log",
                "saver.plotting",
                "saver.formats",
                "saver.storages.object.address",
                "saver.hubs",
                "saver.keys",
                "saver.seals",
                "saver.signing",
            )
        )  # as frames, pictures, files of others, buckets, keys and signatures, when asked to
        roots = {name.partition(".")[0] for name in imports_of(path, top_only=shows)}
        assert roots <= {*sys.stdlib_module_names, *EVERYWHERE, "saver"}, module


def test_no_module_knows_pickle_or_marshal() -> None:
    """What could run code is not even imported; `exec` and `eval` are not called."""
    for module, path in MODULES.items():
        roots = {name.partition(".")[0] for name in imports_of(path)}
        assert not roots & {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "copyreg"}, (
            module
        )
        called = {
            item.func.id for item in ast.walk(ast.parse(path.read_text()))
            if isinstance(item, ast.Call) and isinstance(item.func, ast.Name)
        }  # fmt: skip
        assert not called & {"exec", "eval", "compile", "__import__"}, module


KILLERS = ("saver.rehearsal.", "saver.cli.", "saver.serve.")
"""A server ends its own workers."""


def test_only_a_rehearsal_kills() -> None:
    """And the demo, which shows that, and a server: no path of a run does."""
    killers = {
        module for module, path in MODULES.items()
        for item in ast.walk(ast.parse(path.read_text()))
        if isinstance(item, ast.Attribute) and item.attr in ("SIGKILL", "kill", "killpg", "abort")
    }  # fmt: skip
    allowed = {"saver.checkpoints.signals", "saver.clusters.ray"}  # caller's own signals; an actor of notes
    assert {name for name in killers if not name.startswith(KILLERS)} == allowed


def test_names_from_a_file_are_imported_in_one_place() -> None:
    importers = {
        module
        for module, path in MODULES.items()
        if re.search(r"import_module\(|imported\(", path.read_text())
    }
    importers = {name for name in importers if not name.startswith(("saver.cli", "saver.testing"))}
    assert importers == {"saver", "saver.trust", "saver.registry", "saver.family"}, (
        "`saver` imports its own modules, by a table; a family those that it declares"
    )


def test_importing_saver_loads_no_framework_and_no_command_line() -> None:
    """Nor does anything that it offers."""
    program = (
        "import sys, json, saver; [getattr(saver, name) for name in saver.__all__]; "
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert loaded & (FRAMEWORKS | COMMAND_LINE) == set()
    assert loaded & {"pickle"} <= _numpy_loads(), "only what NumPy itself loads"


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("nonsense",)], ids=lambda item: item[0])
def test_help_needs_no_numpy_and_no_command(arguments: tuple[str, ...]) -> None:
    program = (
        "import sys, saver.cli\nsys.argv = ['saver', *sys.argv[1:]]\n"
        "try:\n    saver.cli.main()\nfinally:\n"
        "    found = [name for name in sys.modules if name.startswith(('numpy', 'saver.cli.'))]\n"
        "    print(*found, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert set(last.split()) == {"saver.cli._screen", "saver.cli._switches"}, done.stderr


def test_show_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    """And in the end it leaves its memory to the system, in which Python would look for garbage first."""
    path = tmp_path / "model.saver"
    saver.dump({"weights": [1.5, 2.5]}, path)
    program = (
        "import gc, sys, numpy, msgspec, click, blake3\nbefore = set(sys.modules)\nimport saver.cli\n"
        "sys.argv = ['saver', 'show', sys.argv[1]]\ntry:\n    saver.cli.main()\nfinally:\n"
        "    found = {'pathlib', 'random', 'queue', 'difflib'} & (sys.modules.keys() - before)\n"
        "    print(gc.get_freeze_count() > 10_000, *found, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()) == (0, ["True"])


def _numpy_loads() -> set[str]:
    program = "import sys, json, numpy; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_public_names_are_these() -> None:
    assert sorted(saver.__all__) == [
        "CannotReadError", "CannotSaveError", "CannotWriteError", "CommitUnknownError", "DamagedError",
        "DoesNotFitError", "Every", "IncompatibleError", "Keep", "KeyNeededError", "Keys",
        "LimitExceededError", "NotFoundError",
        "OnSignal", "Saver", "SaverError", "UntrustedError", "Version",
        "VersionWarning", "WrongKeyError", "describe", "diff", "dump", "dumps", "export", "load", "loads",
        "migrate", "register", "restore", "verify",
    ]  # fmt: skip
    assert len(saver.__all__) <= 31
    assert all(hasattr(saver, name) for name in saver.__all__)
