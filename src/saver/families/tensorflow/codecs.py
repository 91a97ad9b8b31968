"""TensorFlow: tensors, variables, generators, modules, and what `tf.train.Checkpoint` holds."""

from __future__ import annotations

from saver.codec import Codec
from saver.families.tensorflow.composite import RaggedCodec, SlicesCodec, SparseCodec
from saver.families.tensorflow.modules import CheckpointCodec, DictCodec, ListCodec, ModuleCodec, TupleCodec
from saver.families.tensorflow.named import DTypeCodec, ShapeCodec, SpecCodec
from saver.families.tensorflow.restoring import GeneratorRestorer, ModuleRestorer, VariableRestorer
from saver.families.tensorflow.tensors import TensorCodec
from saver.families.tensorflow.variables import GeneratorCodec, VariableCodec
from saver.restoring import Restorer

CODECS: tuple[Codec, ...] = (
    TensorCodec(), RaggedCodec(), SparseCodec(), SlicesCodec(), DTypeCodec(), ShapeCodec(), SpecCodec(),
    VariableCodec(), GeneratorCodec(), ListCodec(), DictCodec(), TupleCodec(), CheckpointCodec(),
    ModuleCodec(),
)  # fmt: skip

RESTORERS: tuple[Restorer, ...] = (VariableRestorer(), GeneratorRestorer(), ModuleRestorer())
