"""PyTorch: tensors, modules, optimizers, schedulers, random generators."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="torch",
    packages=("torch",),
    extra="torch",
    classes="saver.families.torch:classes.json",
    codecs="saver.families.torch.codecs",
    predicting="saver.families.torch.predicting",
    zips=("torch.save",),
    references="saver.families.torch.references",
    reading="saver.families.torch.reading",
    pickles="saver.families.torch.pickles",
    exports={"onnx": "saver.families.torch.onnx"},
    run="saver.families.torch.run",
    facts="saver.families.torch.facts",
    fingerprints="saver.families.torch.fingerprints",
    homes=("torch", "torch.nn.functional"),
    change=Change(
        "warning",
        "note",
        "ok",
        "the weights are the same; kernels may round differently, and newer module classes may expect "
        "attributes that older ones did not have",
    ),
    instead={
        "torch.distributions.distribution.Distribution": "hold its parameters (one of probs and logits), and "
        "make it again after loading",
        "torch.distributed.optim.zero_redundancy_optimizer.ZeroRedundancyOptimizer": "each rank has the "
        "state of some parameters: use a plain optimizer with FSDP2 (fully_shard); or call "
        "consolidate_state_dict(to=0) in all ranks, and save its state_dict() as a part of rank 0 "
        "(docs/distributed.md)",
        "torch.utils.data.dataloader.DataLoader": "hold its dataset and its arguments, and make it again "
        "after loading",
    },
)
