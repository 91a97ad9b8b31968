"""The states of Optax' optimizers, by the bare names of their named tuples.

Optax keeps them in private modules, which change from release to release; so a file holds the name alone,
and the class is looked for in the public modules first, and then wherever it is now.
"""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType
from typing import Any

import optax
import optax.contrib

from saver.codec import Codec, Decoder, Encoder
from saver.tree import Node, Value

_NAMES = """
    AddNoiseState ApplyEvery ApplyIfFiniteState BacktrackingLineSearchState BacktrackingLinesearchInfo
    COCOBState ConditionallyMaskState ConditionallyTransformState DAdaptAdamWState
    DifferentiallyPrivateAggregateState DoGState DoWGState EmaState EmptyState FactoredState
    GaLoreDimensionNumbers GaLoreState HutchinsonState InjectHyperparamsState
    InjectStatefulHyperparamsState LookaheadParams LookaheadState MadgradState MaskedNode MaskedState
    MechanicState MomoAdamState MomoState MonitorState MultiStepsState MuonDimensionNumbers MuonState
    PartitionState ProdigyState ReduceLROnPlateauState SAMState ScaleByAdaDeltaState ScaleByAdamState
    ScaleByAdanState ScaleByAdemamixState ScaleByAmsgradState ScaleByBacktrackingLinesearchState
    ScaleByBeliefState ScaleByDistanceOverGradientsState ScaleByLBFGSState ScaleByLionState
    ScaleByNovogradState ScaleByOptimisticGradientState ScaleByRStdDevState ScaleByRStdDevWithCountState
    ScaleByRmsState ScaleByRmsWithCountState ScaleByRpropState ScaleByRssState ScaleBySM3State
    ScaleByScheduleState ScaleBySimplifiedAdEMAMixState ScaleByZoomLinesearchState ScheduleFreeState
    SnapshotState SophiaState SplitRealAndImaginaryArrays SplitRealAndImaginaryState TraceState
    WeightDecaySchedule WrappedScheduleState ZeroNansState ZoomLinesearchInfo ZoomLinesearchState
"""

STATES = frozenset(_NAMES.split())
"""The named tuples that are data and nothing else, in all modules of Optax."""


class StateCodec(Codec):
    """The state of an optimizer, or of one of its transformations, by fields."""

    name = "optax.state"

    def accepts(self, cls: type) -> bool:
        return cls.__name__ in STATES and state_class(cls.__name__) is cls

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [
            type(obj).__name__,
            {name: encoder(item, name) for name, item in zip(type(obj)._fields, tuple(obj), strict=True)},
        ]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        kind, fields = node.state
        cls = state_class(kind) if type(kind) is str and kind in STATES else None
        if cls is None:
            raise ValueError(f"Optax {optax.__version__} has no state {kind!s:.60}")
        if type(fields) is not dict or fields.keys() != set(cls._fields):
            raise ValueError(f"the fields of a {kind} are {', '.join(cls._fields) or 'none'} here")
        return tuple.__new__(cls, [decoder(fields[name]) for name in cls._fields])


@cache
def state_class(name: str) -> Any:
    """The named tuple with this name, wherever this Optax has it; None if nowhere."""
    inner = [module for place, module in sorted(sys.modules.items()) if place.startswith("optax.")]
    for module in (optax, optax.contrib, *inner):
        found = vars(module).get(name) if type(module) is ModuleType else None
        if isinstance(found, type) and issubclass(found, tuple) and found.__module__.startswith("optax."):
            return found
    return None


class TransformationCodec(Codec):
    """Optimizers themselves, which are functions that close over their arguments."""

    name = "optax.transformation"
    types = (optax.GradientTransformation, optax.GradientTransformationExtraArgs)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        encoder.refuse(
            "an optimizer of Optax is made of functions, which have no data form; make it again with the "
            "same arguments, as in optax.adam(1e-3), and save the state that its `init` returned"
        )

    def decode(self, node: Node, decoder: Decoder) -> Any:
        raise ValueError("an optimizer is not data")


CODECS: tuple[Codec, ...] = (TransformationCodec(), StateCodec())
