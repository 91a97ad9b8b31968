"""Adapters alone cost their weights, and come back around the base that they were trained on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

import saver  # noqa: E402
from saver.errors import CannotSaveError, IncompatibleError, NotFoundError  # noqa: E402
from saver.integrations.peft import load_adapted, save_adapter  # noqa: E402

sys.path.append(str(Path(__file__).parents[1] / "families"))

import transformers_models as small  # noqa: E402

pytestmark = [pytest.mark.xdist_group("transformers"), pytest.mark.filterwarnings("ignore")]

CONFIGURATIONS = {
    "lora": lambda: peft.LoraConfig(target_modules=["query", "value"], r=2, lora_alpha=4),
    "dora": lambda: peft.LoraConfig(target_modules=["query"], r=2, use_dora=True),
    "with a head": lambda: peft.LoraConfig(target_modules=["query"], r=2, modules_to_save=["classifier"]),
    "ia3": lambda: peft.IA3Config(target_modules=["key", "value"], feedforward_modules=[]),
    "loha": lambda: peft.LoHaConfig(target_modules=["query"], r=2),
}


def adapted(kind: str, net: Any) -> Any:
    """The model with an adapter that was trained for a step."""
    torch.manual_seed(1)
    model = peft.get_peft_model(net, CONFIGURATIONS[kind]())
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], 0.5)
    for _ in range(2):
        model(**small.inputs("bert"), labels=torch.tensor([0, 1])).loss.backward()
        optimizer.step()
    return model.eval()


def outputs(model: Any) -> bytes:
    with torch.no_grad():
        return bytes(model(**small.inputs("bert")).logits.numpy().tobytes())


@pytest.mark.shows("PEFT", "save", "load")
@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_an_adapted_model_answers_the_same_again(kind: str, tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    net = small.headed("bert", "classifying")
    base = store.save("net", {"model": net})
    made = adapted(kind, net)
    version = save_adapter(store, "adapter", made, base=base, labels={"task": "one"})
    assert outputs(load_adapted(store, version)) == outputs(made)
    weights = store.load("adapter")["adapter"]["weights"].values()
    assert version.bytes < sum(each.numel() * each.element_size() for each in weights) + 20_000
    assert version.bytes < base.bytes / 2


def test_another_base_and_none_are_refused(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    net = small.headed("bert", "classifying")
    base = store.save("net", {"model": net})
    save_adapter(store, "adapter", adapted("lora", net), base=base)
    store.delete("net@1")
    with pytest.raises(NotFoundError):
        load_adapted(store, "adapter")
    found = store.load("adapter")["adapter"]
    other = store.save("net", {"model": small.headed("bert", "classifying")})
    store.save("adapter", {"adapter": {**found, "base": {**found["base"], "ref": str(other)}}})
    with pytest.raises(IncompatibleError, match="not the version"):
        load_adapted(store, "adapter")


@pytest.mark.parametrize(
    "changed", [{"megatron_config": {"a": 1}}, {"auto_mapping": {"parent_library": "os"}}, {"r": {1: 2}}]
)
def test_settings_that_import_are_refused(changed: dict[str, Any], tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    net = small.headed("bert", "classifying")
    base = store.save("net", {"model": net})
    made = adapted("lora", net)
    save_adapter(store, "adapter", made, base=base)
    found = store.load("adapter")["adapter"]
    store.save("adapter", {"adapter": {**found, "settings": {**found["settings"], **changed}}})
    with pytest.raises(IncompatibleError, match=r"settings|imports modules"):
        load_adapted(store, "adapter")
    vars(made.peft_config["default"]).update({"megatron_config": {"a": 1}})
    with pytest.raises(CannotSaveError, match="imports modules"):
        save_adapter(store, "adapter", made, base=base)
