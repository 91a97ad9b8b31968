"""TensorFlow: tensors, variables, generators, modules, and what `tf.train.Checkpoint` holds."""

from __future__ import annotations

from saver.family import Family

_ITERATOR = (
    "its position is in compiled code; count the elements that were used, and make the pipeline again with "
    ".skip(count)"
)
_DISTRIBUTED = "its copies lie on several devices; save it from a process with one device, or save its value"

FAMILY = Family(
    name="tensorflow",
    packages=("tensorflow",),
    classes="saver.families.tensorflow:classes.json",
    codecs="saver.families.tensorflow.codecs",
    references="saver.families.tensorflow.references",
    reading="saver.families.tensorflow.reading",
    run="saver.families.tensorflow.run",
    instead={
        "tensorflow.python.types.core.PolymorphicFunction": "a tf.function is a compiled program; decorate "
        "the method in its class with @tf.function, which makes it again, or leave it out",
        "tensorflow.python.types.core.ConcreteFunction": "it is a compiled program; keep the tf.function in "
        "the class, which makes it again, or leave it out",
        "tensorflow.python.data.ops.iterator_ops.IteratorBase": _ITERATOR,
        "tensorflow.python.data.ops.dataset_ops.DatasetV2": "a tf.data pipeline is code; make it again, and "
        "save what it is made from",
        "tensorflow.python.ops.lookup_ops.LookupInterface": "its content is in compiled code; save the keys "
        "and values that export() returns, or those that it was made from, and make the table again",
        "tensorflow.python.trackable.resource.CapturableResource": "its content is in compiled code; save "
        "what it was made from",
        "tensorflow.python.checkpoint.checkpoint_management.CheckpointManager": "it manages a folder; save "
        "its checkpoint (manager.checkpoint), and make the manager again",
        "tensorflow.python.ops.summary_ops_v2.SummaryWriter": "it is an open file; make it again",
        "tensorflow.python.eager.backprop.GradientTape": "it records one step; save after the step, without "
        "the tape",
        "tensorflow.python.ops.tensor_array_ops.TensorArray": "save what its stack() returns",
        "tensorflow.python.framework.ops.SymbolicTensor": "a tensor of a graph has no elements yet; save "
        "outside of tf.function",
        "tensorflow.python.distribute.values.DistributedValues": _DISTRIBUTED,
        "tensorflow.python.distribute.distribute_lib.StrategyBase": "it says which devices there are; make "
        "it again",
        "tensorflow.python.ops.variables.Variable": "it is not a plain variable; save its value, and make it "
        "again with assign",
    },
)
