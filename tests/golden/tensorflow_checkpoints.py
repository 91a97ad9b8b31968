"""Writes the checkpoints in `tests/golden/of_tensorflow` with TensorFlow, and beside them what they hold.

    python tests/golden/tensorflow_checkpoints.py FOLDER

TensorFlow 2.21 wrote those that are committed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

KINDS = (
    "float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "bool",
    "complex64",
)  # fmt: skip
NEWER = ("uint32", "uint64", "complex128")
"""Kinds that version 1 cannot hold."""


PARTS = np.arange(40, dtype=np.float32).reshape(10, 4)
"""A variable that is cut into three."""


def arrays(version: int) -> dict[str, Any]:
    random = np.random.default_rng(0)
    found: dict[str, Any] = {}
    for kind in KINDS + (NEWER if version == 2 else ()):
        numbers = random.normal(size=(3, 5)) * 50
        found[f"kinds/{kind}"] = (numbers > 0) if kind == "bool" else numbers.astype(kind)
    found["scalar"] = np.float32(2.5)
    found["empty"] = np.zeros((0, 3), np.float32)
    found["edges"] = np.array([-1, 0, 2**31 - 1, -(2**31)], np.int32)
    found["far"] = np.array([-1, 2**63 - 1, -(2**63)], np.int64)
    found["strings"] = np.array([[b"a", b"\0\xffb"], [b"", b"x" * 300]], object)
    found["word"] = np.array(b"hello", object)
    found["large"] = random.normal(size=(40, 70)).astype(np.float32)
    return found


def write(folder: Path) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    for version in (1, 2):
        values = arrays(version)
        with tf.Graph().as_default(), v1.Session() as session:
            for name, value in values.items():
                v1.Variable(value, name=name)
            v1.get_variable(
                "parts", shape=(10, 4), partitioner=v1.fixed_size_partitioner(3), use_resource=False,
                initializer=lambda shape, dtype, partition_info: PARTS[
                    partition_info.var_offset[0] : partition_info.var_offset[0] + shape[0]
                ],
            )  # fmt: skip
            session.run(v1.global_variables_initializer())
            saver = v1.train.Saver(write_version=version)
            saver.save(session, str(folder / f"v{version}"), write_meta_graph=False, write_state=False)
            numbers = {name: value for name, value in values.items() if value.dtype != object}
            np.savez(folder / f"v{version}.npz", parts=PARTS, **numbers)
    module = tf.Module()
    module.weights = tf.Variable(np.arange(6.0).reshape(2, 3))
    module.rest = [tf.Variable(1), tf.Variable("text")]
    tf.train.Checkpoint(module=module).write(str(folder / "objects"))
    found = tf.train.load_checkpoint(str(folder / "objects"))
    names = found.get_variable_to_shape_map()
    np.savez(folder / "objects.npz", **{name: np.array(found.get_tensor(name)) for name in names})


if __name__ == "__main__":
    write(Path(sys.argv[1]))
