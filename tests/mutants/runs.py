"""Training runs that save themselves: what is reported, and that a save is that of one moment."""

from __future__ import annotations

from .mutant import Mutant

_RUN = "checkpoints/test_run.py"
_RANKS = "distributed/test_runs_together.py"
_SHARES = "distributed/test_shares.py"
_SOCKETS = "distributed/test_sockets.py"
_BROADCAST = "distributed/test_broadcast.py"
_PEERS = "distributed/test_peers.py"
_RESUME = "stateful/test_resume.py"

MUTANTS = [
    Mutant(
        "failed-saves-of-runs", "checkpoints/saving.py",
        "        self.writer.raise_failure()\n        self.raise_given_up()\n",
        "        self.raise_given_up()\n",
        "telling of a save that failed in the background",
        (f"{_RUN}::test_after_an_error_the_same_run_goes_on",),
    ),
    Mutant(
        "given-up-saves", "checkpoints/saving.py",
        "        if self.again:\n            raise CannotSaveError(\n",
        "        if False:\n            raise CannotSaveError(\n",
        "telling of a save that was given up",
        (f"{_RESUME}::test_a_save_that_was_given_up_and_never_taken_again_is_an_error",),
    ),
    Mutant(
        "best-values", "checkpoints/saving.py",
        "            self.ranges = ranges\n            if isinstance", "            if isinstance",
        "forgetting a best value that is not on disk",
        (f"{_RESUME}::test_a_best_value_that_could_not_be_saved_is_saved_with_the_next_step_as_good",),
    ),
    Mutant(
        "room-of-runs", "checkpoints/saving.py",
        "            if not is_full(error) or not self._history.make_room():\n", "            if error:\n",
        "making room with what a run has dropped",
        (f"{_RUN}::test_where_there_is_no_room_what_was_dropped_makes_some",),
    ),
    Mutant(
        "one-moment", "torn.py",
        "        return Torn(*changed) if changed else None\n", "        return None\n",
        "noticing that weights changed while they were copied",
        ("checkpoints/test_staging.py::test_a_change_during_the_copy_is_never_kept",),
    ),
    Mutant(
        "optimizers-wait", "checkpoints/saving.py",
        "                snapshot.hold()\n", "                pass\n",
        "holding an optimizer until its weights are copied",
        (f"{_RUN}::test_what_a_save_costs_includes_what_an_optimizer_waits_for_it",),
    ),
    Mutant(
        "exit-code", "checkpoints/ending.py",
        "            _failed.append(error)\n", "",
        "the exit code of a process whose last save failed",
        (f"{_RUN}::test_a_run_that_nobody_left_is_on_disk_or_the_process_fails",),
    ),
    Mutant(
        "last-save", "checkpoints/ending.py",
        "            flush()\n        except", "            pass\n        except",
        "writing what is staged when the process ends",
        (f"{_RUN}::test_a_run_that_nobody_left_is_on_disk_or_the_process_fails",),
    ),
    Mutant(
        "copied-before-it-changes", "checkpoints/share.py",
        "            if not self._is_everything():\n", "            if False:\n",
        "waiting until a rank has copied what the plan says that it writes",
        (f"{_SHARES}::test_of_what_all_ranks_hold_each_copies_its_share",),
    ),
    Mutant(
        "copied-what-was-asked", "checkpoints/share.py",
        "and not self._has(self._task)", "and self._copied is None",
        "copying what the plan asks for beside what a rank expected",
        (f"{_SHARES}::test_whatever_was_expected_what_is_requested_is_copied",),
    ),
    Mutant(
        "heard-of-its-task", "distributed/saving.py",
        "members.sent.pop(self._model, None)", "members.sent.get(self._model)",
        "planning again for a rank that did not hear its task",
        (f"{_SHARES}::test_a_rank_that_did_not_hear_its_task_does_not_use_an_older_one",),
    ),
    Mutant(
        "alone-before-and-now", "distributed/plans.py",
        "if other != rank\n", "if False\n",
        "planning again when several ranks hold a tensor that changed",
        ("distributed/test_plans.py::test_every_plan_fits_what_the_ranks_hold_then",),
    ),
    Mutant(
        "announced-ahead", "distributed/running.py",
        "        save = Announced(self._word.until + 1, ", "        save = Announced(self._call + 2, ",
        "announcing a save for a step of which nothing was promised",
        (f"{_RANKS}::test_what_rank_0_decides_all_do_after_the_same_step",),
    ),
    Mutant(
        "promised-steps", "distributed/running.py",
        "lambda word: word.until >= call and (", "lambda word: (",
        "waiting for what rank 0 promises of a step",
        (f"{_RANKS}::test_what_rank_0_decides_all_do_after_the_same_step",),
    ),
    Mutant(
        "decided-steps", "distributed/running.py",
        "(not asks or word.decided >= call)", "True",
        "waiting for what rank 0 decides of a step that shows that a save may be due",
        (f"{_RANKS}::test_a_save_that_a_step_shows_is_made_after_that_step",),
    ),
    Mutant(
        "passed-on-bytes", "disk/copy.py",
        "                        if foreign:\n                            self.foreign[run] = True\n", "",
        "reading again what another rank passed on, and is wrong",
        (f"{_BROADCAST}::test_wrong_bytes_of_another_rank_are_noticed_and_read_again",),
    ),
    Mutant(
        "ranks-that-connect", "clusters/meeting.py",
        "if self._open and wanted and proven:", "if self._open and wanted:",
        "the proof that one who connects is a rank",
        (f"{_SOCKETS}::test_others_than_ranks_are_turned_away",),
    ),
    Mutant(
        "ranks-that-listen", "clusters/meeting.py",
        "    if not compare_digest(answer[NONCE:], _proof(secret, b\"listens\", mine, theirs, own)):\n",
        "    if False:\n",
        "the proof that one who listens is a rank",
        (f"{_SOCKETS}::test_another_program_that_listens_in_the_place_of_a_rank_gets_no_proof",),
    ),
    Mutant(
        "wanted-messages", "clusters/sockets.py",
        "message is None or message.memory.nbytes != size:", "message is None:",
        "refusing a message of another size than is expected",
        (f"{_SOCKETS}::test_a_message_that_was_not_asked_for_ends_the_connection",),
    ),
    Mutant(
        "bound-of-peer-memory", "caching/host_memory.py",
        "            self._make_room(folder, size)\n", "",
        "the bound on what a run keeps in the memory of a host",
        (f"{_PEERS}::test_no_more_is_kept_than_was_allowed",),
    ),
    Mutant(
        "late-writes-to-memory", "caching/host_memory.py",
        "        if self._is_over and not self._writing:\n", "        if self._is_over:\n",
        "waiting for a thread that still writes a pack into memory before its file is closed",
        ("caching/test_host_memory.py::test_a_thread_that_still_writes_a_pack_that_is_over_writes_into_no_other_file",),
    ),
    Mutant(
        "peers-of-another-host", "distributed/peers.py",
        "others = groups[(number + 1) % len(groups)]", "others = groups[number]",
        "keeping what a rank saved in the memory of another host",
        (f"{_PEERS}::test_packs_go_to_another_host_and_to_each_rank_there_about_as_many",),
    ),
    Mutant(
        "memory-of-runs-that-are-over", "distributed/peers.py",
        "        if is_over:\n", "        if False:\n",
        "freeing the memory that a run used, once it is over",
        (f"{_PEERS}::test_a_run_that_is_over_leaves_nothing",),
    ),
    Mutant(
        "announced-at-the-end", "checkpoints/run.py",
        "                    self._complete()\n", "                    pass\n",
        "the save that was announced for a step that does not come",
        (f"{_RANKS}::test_a_save_that_was_announced_for_a_step_that_does_not_come_is_made_at_the_end",),
    ),
    Mutant(
        "errors-of-ranks", "checkpoints/saving.py",
        "            writer.keep(earlier)\n", "",
        "the error of the save before, where ranks begin the next one",
        (f"{_RANKS}::test_an_error_in_the_background_is_raised_in_all_and_the_run_goes_on",),
    ),
    Mutant(
        "failing-ranks", "checkpoints/saving.py",
        "            self._waits = True\n", "            raise\n",
        "failing the save of all where one rank cannot take its snapshot",
        (f"{_RANKS}::test_an_object_that_one_rank_cannot_save_fails_the_save_of_all",),
    ),
    Mutant(
        "same-version-for-ranks", "checkpoints/trials.py",
        '        problem = self._settled("")\n', '        problem = ""\n',
        "going back together to a version that all ranks can read",
        (f"{_RANKS}::test_all_go_back_to_the_newest_version_that_verifies_in_all",),
    ),
]  # fmt: skip
