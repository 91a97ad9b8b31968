"""Schemas, golden predictions and scoring."""

from __future__ import annotations

from .mutant import Mutant

_CHECKED = "schema/test_checking_inputs.py"
_NUMBERS = "schema/test_numbers.py"
_TIMES = "schema/test_times.py"
_OF_FILES = "schema/test_schemas_of_files.py"
_RECORDED = "predicting/test_recorded_examples.py"
_CARRIED = "predicting/test_carried_examples.py"
_QUICK = "predicting/test_quick_answers.py"
_SCORED = "predicting/test_scored_files.py"
_HOSTILE = "predicting/test_hostile_goldens.py"
_KILLED = "predicting/test_killed_scorings.py"
_EACH = f"{_CHECKED}::test_every_value_that_does_not_fit_is_named_by_its_row_and_column"

MUTANTS = [
    Mutant(
        "whole-numbers", "schema/converting.py",
        "    return int(value) if limits.min <= value <= limits.max else None\n", "    return int(value)\n",
        "refusing whole numbers that do not fit their dtype", (_EACH,),
    ),
    Mutant(
        "true-is-not-one", "schema/converting.py",
        "    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):\n",
        "    if not isinstance(value, (int, np.integer)):\n",
        "refusing true where a whole number is wanted", (_EACH,),
    ),
    Mutant(
        "finite-numbers", "schema/checking.py",
        "    bad = ~np.isfinite(found) & ~absent\n", "    bad = ~np.isfinite(found) & False\n",
        "refusing infinite numbers where the example had none", (_EACH,),
    ),
    Mutant(
        "missing-values", "schema/checking.py",
        "    bad = absent & ~allowed\n", "    bad = absent & False\n",
        "refusing missing values where the example had none", (_EACH,),
    ),
    Mutant(
        "known-categories", "schema/checking.py",
        "    if field.categories:\n", "    if False:\n",
        "refusing categories that the example did not have", (_EACH,),
    ),
    Mutant(
        "lengths-of-columns", "schema/checking.py",
        "    problems += _lengths(found)\n", "",
        "refusing columns of different lengths",
        (f"{_CHECKED}::test_a_column_that_is_missing_unknown_or_shorter_is_named",),
    ),
    Mutant(
        "whole-numbers-of-floats", "schema/converting.py",
        "    if isinstance(value, (int, np.integer)) and not _is_exact(field, int(value)):\n",
        "    if False:\n", "refusing whole numbers that a dtype of floats rounds",
        (f"{_NUMBERS}::test_whole_numbers_for_floats_are_exact_or_refused",),
    ),
    Mutant(
        "floats-as-whole-numbers", "schema/converting.py",
        "        top, low = min(limits.max, SAFE - 1), max(limits.min, 1 - SAFE)\n",
        "        top, low = limits.max, limits.min\n",
        "refusing floats that may have been other whole numbers",
        (f"{_NUMBERS}::test_a_float_is_a_whole_number_only_where_it_can_be_no_other",),
    ),
    Mutant(
        "masked-arrays", "schema/checking.py",
        "    if isinstance(values, np.ma.MaskedArray):", "    if False:",
        "refusing arrays whose mask would be lost", (f"{_NUMBERS}::test_masked_arrays_are_refused",),
    ),
    Mutant(
        "headers-that-count", "schema/rows.py",
        "    if list(line) in ([only.name], [str(at) for at in range(len(line))]):\n",
        "    if list(line) == [only.name]:\n", "taking a line that counts columns for a header",
        (f"{_NUMBERS}::test_a_header_of_an_array_counts_its_columns_or_names_them",),
    ),
    Mutant(
        "times-that-wrap", "schema/moments.py",
        "    bad |= (counts > top) | (counts < -top)\n", "",
        "refusing times that a unit cannot hold",
        (f"{_TIMES}::test_arrays_of_any_unit_are_exact_or_refused",),
    ),
    Mutant(
        "times-that-are-cut", "schema/moments.py",
        "    return None if rest or abs(count)", "    return None if abs(count)",
        "refusing times that are finer than a unit", (f"{_TIMES}::test_texts_are_exact_or_refused",),
    ),
    Mutant(
        "dtypes-of-files", "schema/natives.py",
        "    if field.native and dtype_of(field.native) not in (field.dtype, ANY):\n", "    if False:\n",
        "refusing dtypes of a file that are not on the list",
        (f"{_OF_FILES}::test_other_dtypes_are_refused_and_no_file_is_opened_for_them",),
    ),
    Mutant(
        "zones-of-files", "schema/natives.py",
        "        zoneinfo.ZoneInfo(name)\n", "        pass\n",
        "refusing time zones that the system does not know",
        (f"{_OF_FILES}::test_other_dtypes_are_refused_and_no_file_is_opened_for_them",),
    ),
    Mutant(
        "trust-in-pipelines", "predicting/record.py",
        '        if not trusted.covers("pipeline.function", how.cls):\n', "        if False:\n",
        "running a function on all parts only if it is trusted by name",
        (f"{_RECORDED}::test_a_reviewed_function_is_not_trusted_with_all_parts",),
    ),
    Mutant(
        "answers-twice", "predicting/recording.py",
        "    if not found.same:\n", "    if False:\n",
        "refusing models that answer differently the second time",
        (f"{_RECORDED}::test_what_has_no_schema_is_said_at_the_save_and_nothing_is_saved",),
    ),
    Mutant(
        "bits-of-answers", "predicting/comparing.py",
        "    return np.asarray((old != new).any(axis=1))\n", "    return np.zeros(rows, bool)\n",
        "comparing golden predictions bit by bit", (f"{_CARRIED}::test_weights_that_were_changed_are_found",),
    ),
    Mutant(
        "random-states-of-examples", "predicting/recording.py",
        "    finally:\n        move_back()\n", "    finally:\n        pass\n",
        "putting random generators back after an example was answered",
        (f"{_RECORDED}::test_a_model_that_draws_numbers_moves_no_generator",),
    ),
    Mutant(
        "signed-examples", "signed.py",
        "    return statement_of(opened.written,", "    return statement_of(opened.manifest,",
        "signing the example with the rest", (f"{_CARRIED}::test_signatures_cover_it",),
    ),
    Mutant(
        "examples-that-travel", "encoding.py",
        "    trees = {**opened.trees, **(example.trees if example is not None else {})}\n",
        "    trees = {**opened.trees}\n",
        "bringing the example along", (f"{_CARRIED}::test_it_goes_where_the_version_goes",),
    ),
    Mutant(
        "rows-of-goldens", "predicting/record.py",
        "        demand_held(found, self.rows, recorded, self.where)\n", "",
        "holding golden inputs against the rows recorded before a model gets them",
        (f"{_HOSTILE}::test_inputs_that_are_not_the_rows_recorded_never_reach_a_model",),
    ),
    Mutant(
        "another-scoring", "predicting/scoring.py",
        "        return found if found.identity == self._identity and 0 <=", "        return found if 0 <=",
        "beginning anew if the model, the data or the settings are others",
        (f"{_SCORED}::test_what_is_of_another_scoring_is_not_continued",),
    ),
    Mutant(
        "torn-lines", "predicting/scoring.py",
        "            FILES.truncate(self._file, self._size)\n", "",
        "cutting off what no note speaks of",
        (f"{_SCORED}::test_an_interrupted_scoring_goes_on_and_has_the_same_bytes",),
    ),
    Mutant(
        "notes-of-another-scoring", "predicting/scoring.py",
        "                self._forget()\n", "                pass\n",
        "removing the note of another scoring before its bytes are written over",
        (f"{_KILLED}::test_another_model_in_between_leaves_nothing_of_its_own",),
    ),
    Mutant(
        "targets-that-appear", "predicting/scoring.py",
        "            is_linked = not replace and self._placed()\n", "            is_linked = False\n",
        "putting a file in place only if nothing is there",
        (f"{_SCORED}::test_a_target_that_appears_meanwhile_stays_and_the_answers_are_kept",),
    ),
    Mutant(
        "files-with-two-names", "predicting/scoring.py",
        "            if self._is_target():\n", "            if False:\n",
        "beginning another file if the partial one is the target, too",
        (f"{_KILLED}::test_no_kill_lets_a_scoring_replace_what_it_may_not",),
    ),
    Mutant(
        "changes-in-the-middle", "predicting/data.py",
        "                    digest.update(piece)\n", "                    pass\n",
        "taking the hash of all the data that is answered",
        (f"{_SCORED}::test_data_that_changed_anywhere_is_answered_anew",),
    ),
    Mutant(
        "changes-meanwhile", "predicting/scoring.py",
        "            data.demand_same()\n            out.add(", "            out.add(",
        "looking whether the data changed before its answers are kept",
        (f"{_SCORED}::test_data_that_changes_while_it_is_read_has_no_answers",),
    ),
    Mutant(
        "answers-one-by-one", "predicting/quick.py",
        "*(inputs[at : at + 1] for at in range(min(SINGLE, len(inputs))))", "",
        "comparing quick answers row by row, too",
        (f"{_QUICK}::test_an_answer_that_differs_in_one_bit_is_noticed",),
    ),
    Mutant(
        "finite-numbers-of-estimators", "families/sklearn/predicting.py",
        "        and bool(np.isfinite(values).all())\n", "",
        "leaving to an estimator what is not finite",
        (f"{_QUICK}::test_the_same_bits_or_the_same_error",),
    ),
    Mutant(
        "versions-that-were-read", "families/sklearn/predicting.py",
        "make is None or not KNOWN[0] <= version <= KNOWN[1]", "make is None",
        "leaving to an estimator of an unknown version what it answers",
        (f"{_QUICK}::test_a_version_that_was_not_read_is_left_to_the_library",),
    ),
    Mutant(
        "one-writer", "predicting/scoring.py",
        "            if not FILES.lock(self._file) or (own", "            if (own",
        "holding the partial file", (f"{_SCORED}::test_two_processes_do_not_write_one_file",),
    ),
]  # fmt: skip
