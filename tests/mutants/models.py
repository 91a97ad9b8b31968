"""Models of other tools: what a configuration may name, where weights lie, what an exported graph says."""

from __future__ import annotations

from .mutant import Mutant

_SETTINGS = "attacks/test_hostile_keras.py::test_settings_that_reach_further_are_refused"
_KERAS = "families/test_keras.py::test_hostile_files_run_nothing"
_AUDIT = "families/keras/audit.py"
_CONFIGS = "families/keras/configs.py"
_GRAPHS = "formats/test_keras_graphs.py"
_REFUSED = "formats/test_skops.py::test_what_is_forged_is_refused"
_TFJS = "formats/test_tfjs_reading.py"
_WRONG = f"{_TFJS}::test_what_contradicts_itself_is_refused"
_SKOPS = "formats/skops/nodes.py"
_WEIGHTS = "formats/tfjs/weights.py"
_OUTSIDE = f"{_TFJS}::test_no_file_outside_of_the_folder_is_opened"

MUTANTS = [
    Mutant(
        "names-in-configurations", _AUDIT,
        '    elif not admitted(fields.get("module"), name, config):', "    elif False:",
        "refusing objects of Keras that were not reviewed", (_KERAS,),
    ),
    Mutant(
        "functions-in-configurations", _AUDIT,
        'type(config) is str and any(FAMILY.admits("keras.function", f"{at}:{config}") for at in places)',
        "type(config) is str",
        "refusing functions of Keras that were not reviewed", (_KERAS,),
    ),
    Mutant(
        "fields-of-configurations", _AUDIT,
        '    if not set(fields) <= FIELDS - {"registered_name"} or "config" not in fields:', "    if False:",
        "refusing what else a configuration says of an object, such as a registered name", (_KERAS,),
    ),
    Mutant(
        "numbers-of-optimizers", _AUDIT,
        '        if fields["module"].startswith("keras.optimizers"):', "        if False:",
        "refusing texts that an optimizer of Keras computes with", (_KERAS,),
    ),
    Mutant(
        "settings-of-compiled-models", "families/keras/making.py",
        '    if getattr(type(model), "compile", None) is not Trainer.compile:', "    if True:",
        "refusing settings that a model of Keras was not compiled with", (_KERAS,),
    ),
    Mutant(
        "texts-that-are-registered", _CONFIGS,
        "        if type(tree) is str and _registered(tree) is not None:", "        if False:",
        "refusing texts that Keras would take for what is registered with it", (_KERAS,),
    ),
    Mutant(
        "bases-of-classes-for-keras", _CONFIGS,
        "        if not issubclass(found, KINDS):", "        if False:",
        "refusing trusted classes of other kinds than those of Keras", (_KERAS,),
    ),
    Mutant(
        "fields-of-files-of-keras", "families/keras/files.py",
        '        if not set(found) <= FIELDS or "config" not in found:', "        if False:",
        "the same for the files of Keras itself", (_SETTINGS,),
    ),
    Mutant(
        "keys-of-files-of-keras", "families/keras/files.py",
        "        for key in filter(reserved, fields):", "        for key in ():",
        "refusing keys that mean something in trees", (_SETTINGS,),
    ),
    Mutant(
        "calls-without-tensors", _AUDIT,
        "    if not isinstance(calls, (list, tuple)) or not all(map(_has_tensor, calls)):", "    if False:",
        "refusing calls that Keras would compute while it reads them", (_SETTINGS,),
    ),
    Mutant(
        "vocabularies-that-are-paths", _AUDIT,
        "            if type(config.get(key)) not in (list, tuple, type(None)):", "            if False:",
        "refusing the path of a file in place of a vocabulary", (_SETTINGS,),
    ),
    Mutant(
        "greedy-patterns", _AUDIT,
        'len(pattern) > 200 or len(re.findall("[*+{]", pattern)) > 4 or _GREEDY.search(pattern):', "False:",
        "refusing patterns that take very long to match", (_SETTINGS,),
    ),
    Mutant(
        "numbers-that-make-objects", _AUDIT,
        "config[key] > most:", "False:",
        "the limit on numbers of which Keras makes so many objects", (_SETTINGS,),
    ),
    Mutant(
        "settings-of-objects", _AUDIT,
        '        if type(config) is not dict:\n            raise ValueError(f"the configuration of a',
        '        if False:\n            raise ValueError(f"the configuration of a',
        "refusing settings that are no JSON object", (_SETTINGS,),
    ),
    Mutant(
        "dtypes-of-values-of-keras", _AUDIT,
        'config.get("dtype") not in _DTYPES:', "False:",
        "refusing numbers of a dtype that a configuration does not hold", (_SETTINGS,),
    ),
    Mutant(
        "bytes-of-values-of-keras", _AUDIT,
        '    if name == "__bytes__" and type(config.get("value")) is not str:', "    if False:",
        "refusing bytes that are no text", (_SETTINGS,),
    ),
    Mutant(
        "shapes-of-tensors-of-keras", _AUDIT,
        'not _is_shape(config.get("shape")) or ', "",
        "refusing tensors of a model without a shape", (_SETTINGS,),
    ),
    Mutant(
        "history-of-tensors-of-keras", _AUDIT,
        " or not isinstance(history, (list, tuple)) or len(history) != 3:", ":",
        "refusing tensors of a model that do not say where they come from", (_SETTINGS,),
    ),
    Mutant(
        "paths-of-tfjs", "opening.py",
        'name != os.path.basename(name) or "\\\\" in name or name in ("", ".", "..") or "\\0" in name:',
        "False:",
        "refusing files of weights outside of the folder", (_OUTSIDE,),
    ),
    Mutant(
        "folders-of-tfjs", "opening.py",
        'name != os.path.basename(name) or "\\\\" in name', '"\\\\" in name',
        "refusing names with folders", (_OUTSIDE,),
    ),
    Mutant(
        "number-of-files-of-tfjs", _WEIGHTS,
        "        if len(paths) > SHARDS or len({*paths}) < len(paths):",
        "        if len({*paths}) < len(paths):",
        "the limit on the number of files", (_WRONG,),
    ),
    Mutant(
        "ends-of-weights-of-tfjs", _WEIGHTS,
        "            if end > starts[-1]:", "            if False:",
        "refusing weights for which there are too few bytes", (_WRONG,),
    ),
    Mutant(
        "rest-of-weights-of-tfjs", _WEIGHTS,
        "        if at != starts[-1]:", "        if False:",
        "refusing bytes that no weight describes",
        (f"{_TFJS}::test_files_of_another_length_are_refused",),
    ),
    Mutant(
        "names-of-weights-of-tfjs", _WEIGHTS,
        "            if name in self.infos or not encodable(name):", "            if not encodable(name):",
        "refusing two weights of one name", (_WRONG,),
    ),
    Mutant(
        "shapes-of-weights-of-tfjs", _WEIGHTS,
        "            type(size) is not int or not 0 <= size <= EXACT_INTEGER for size in shape\n",
        "            False for size in shape\n",
        "refusing invalid sizes", (_WRONG,),
    ),
    Mutant(
        "quantized-weights-of-tfjs", _WEIGHTS,
        "abs(largest * scale + least) <= limit", "True",
        "refusing weights that were quantized beyond what their numbers can be", (_WRONG,),
    ),
    Mutant(
        "groups-of-tfjs", _WEIGHTS,
        "        if type(manifest) is not list or not all(map(_is_group, manifest)):", "        if False:",
        "refusing an invalid manifest", (_WRONG,),
    ),
    Mutant(
        "protocols-of-skops", _SKOPS,
        "        if type(protocol) is not int or not 0 <= protocol <= _NEWEST:", "        if False:",
        "refusing protocols that are not known", (_REFUSED,),
    ),
    Mutant(
        "depth-of-skops", _SKOPS,
        "        if self._depth > _DEPTH:", "        if False:",
        "the limit on the depth of a schema", ("formats/test_skops.py::test_deep_schemas_are_refused",),
    ),
    Mutant(
        "literals-of-skops", _SKOPS,
        "        if type(found) not in _LITERALS:", "        if False:",
        "refusing invalid literals", (_REFUSED,),
    ),
    Mutant(
        "keys-of-skops", _SKOPS,
        "        if len(kinds) != len(content):", "        if False:",
        "refusing dicts whose keys have no types", (_REFUSED,),
    ),
    Mutant(
        "names-of-skops", _SKOPS,
        "type(module) is not str or type(name) is not str or not 0 < len(module + name) <= NAME_LIMIT:",
        "False:",
        "refusing nodes that name no class", (_REFUSED,),
    ),
    Mutant(
        "classes-of-skops", _SKOPS,
        "        self._machine.names[named] = None\n        return named\n", "        return named\n",
        "asking whether the classes and functions that a file holds were reviewed", (_REFUSED,),
    ),
    Mutant(
        "slices-of-skops", _SKOPS,
        "        if not all(type(end) in (int, type(None)) for end in ends):", "        if False:",
        "refusing slices of other than numbers", (_REFUSED,),
    ),
    Mutant(
        "rows-of-skops", _SKOPS,
        "any(type(row) is not list or len(row) != axis for row in found):", "False:",
        "comparing arrays of objects with their shapes", (_REFUSED,),
    ),
    Mutant(
        "dtypes-of-skops", _SKOPS,
        '        if dtype.names is not None or dtype.hasobject or dtype.kind in "mMV":', "        if False:",
        "refusing dtypes that skops does not write", (_REFUSED,),
    ),
    Mutant(
        "masks-of-skops", _SKOPS,
        " or data.shape != mask.shape:", ":",
        "comparing a mask with what it hides", (_REFUSED,),
    ),
    Mutant(
        "keys-of-types-of-skops", "formats/skops/pieces.py",
        '    if type(kind) is not Global or kind.module not in ("builtins", "numpy"):', "    if False:",
        "refusing keys of other types", (_REFUSED,),
    ),
    Mutant(
        "lengths-of-skops", "formats/skops/pieces.py",
        "    if len(raw) - start != need:", "    if False:",
        "comparing the length of an array with its shape",
        ("formats/test_skops.py::test_archives_that_trick_readers_are_refused",),
    ),
    Mutant(
        "models-as-graphs", "families/keras/inference.py",
        "    if not isinstance(model, keras.Model):", "    if False:",
        "refusing to write as a graph what is not a model",
        (f"{_GRAPHS}::test_what_cannot_be_written_is_said_and_nothing_is_left",),
    ),
    Mutant(
        "examples-for-graphs", "families/keras/inference.py",
        "    if export.example is None:", "    if False:",
        "asking for an example where nobody says what the inputs are",
        (f"{_GRAPHS}::test_what_cannot_be_written_is_said_and_nothing_is_left",),
    ),
    Mutant(
        "losses-of-savedmodel", "families/keras/savedmodel.py",
        "    return inference.lost(export)\n", "    return []\n",
        "saying what a SavedModel does not hold", (f"{_GRAPHS}::test_predictions_are_the_same",),
    ),
    Mutant(
        "losses-of-tflite", "families/keras/tflite.py",
        "inference.inputs_of(export), inference.lost(export)", "inference.inputs_of(export), []",
        "saying what a model of TensorFlow Lite does not hold",
        (f"{_GRAPHS}::test_predictions_are_the_same",),
    ),
    Mutant(
        "rows-of-tflite", "families/keras/tflite.py",
        '        losses.append(Loss(export.place, "it takes one row at a time"))\n', "",
        "saying that a model takes one row at a time", (f"{_GRAPHS}::test_predictions_are_the_same",),
    ),
    Mutant(
        "operations-of-tflite", "families/keras/tflite.py",
        "[tensorflow.lite.OpsSet.TFLITE_BUILTINS]",
        "[tensorflow.lite.OpsSet.TFLITE_BUILTINS, tensorflow.lite.OpsSet.SELECT_TF_OPS]",
        "keeping to the operations that every interpreter has",
        (f"{_GRAPHS}::test_predictions_are_the_same",),
    ),
]  # fmt: skip
