"""A collection: what is garbage, when it is deleted, and what is never touched."""

from __future__ import annotations

from .mutant import Mutant

_GC = "repo/test_gc.py"
_USERS = "repo/test_users.py"
_STORES = "attacks/test_hostile_stores.py"
_GRACE = f"{_GC}::test_readers_get_a_grace_period_by_the_clock_of_the_store"
_YOUNG = f"{_GC}::test_what_may_belong_to_a_save_under_way_is_left_alone"
_OWN = f"{_STORES}::test_only_what_is_savers_is_ever_deleted"
_CAME = f"{_GC}::test_a_version_that_came_while_bytes_were_moved_keeps_them"
_LOST = f"{_GC}::test_a_version_whose_manifest_is_lost_keeps_its_packs"
_FORGED = f"{_GC}::test_whatever_comes_to_stand_in_the_log_only_what_is_savers_is_deleted"
_AGAIN = f"{_GC}::test_bytes_may_move_again_and_again"

MUTANTS = [
    Mutant(
        "condemn-before-delete", "repo/gc/condemning.py",
        "            return Condemn(self.condemned, tuple(sorted(kept)))\n",
        "            self._repo.storage.delete(*self.condemned)\n"
        "            return Condemn(self.condemned, tuple(sorted(kept)))\n",
        "the order: what is deleted was condemned before", (_GC,),
    ),
    Mutant(
        "grace-of-readers", "repo/gc/collection.py",
        "            if self._clock.is_young(self._condemned_at(key), now):\n", "            if False:\n",
        "the grace period between condemning and deleting", (_GRACE,),
    ),
    Mutant(
        "grace-of-savers", "repo/gc/condemning.py",
        "            elif self._clock.is_young(stat.time, self._now):\n", "            elif False:\n",
        "the grace period of what may belong to a save under way", (_YOUNG,),
    ),
    Mutant(
        "clock-set-back", "repo/gc/clock.py",
        "        return self.grace > 0 and -CLOCK_LEFT < now - time < self.grace",
        "        return self.grace > 0 and now - time < self.grace",
        "freeing what comes from the future, once a clock was set back", (_GC,),
    ),
    Mutant(
        "no-grace-wanted", "repo/gc/clock.py",
        "        return self.grace > 0 and -CLOCK_LEFT < now - time < self.grace",
        "        return -CLOCK_LEFT < now - time < self.grace",
        "freeing at once what is to be freed at once", (_GC,),
    ),
    Mutant(
        "whole-log", "repo/gc/collection.py",
        "        check_log(repo.storage, repo.state, known)\n", "",
        "looking for gaps before anything is deleted", (f"{_GC}::test_a_gap_in_the_log_stops_the_collector",),
    ),
    Mutant(
        "decided-by-the-newest", "repo/gc/condemning.py",
        "        self._users.refresh()\n", "",
        "looking at all records before something is condemned", (_GC,),
    ),
    Mutant(
        "needed", "repo/gc/condemning.py",
        "if not gone and is_needed(self._repo, key):\n", "if False:\n",
        "looking whether a version needs what is condemned", (_GC,),
    ),
    Mutant(
        "lost-manifests", "repo/gc/condemning.py",
        "IncompatibleError, NotFoundError):\n            return True\n",
        "IncompatibleError, NotFoundError):\n            continue\n",
        "keeping all that a version may need whose manifest is lost", (_LOST,),
    ),
    Mutant(
        "exact-needs", "repo/gc/condemning.py",
        "        if pack in packs_of(known.values()):\n"
        "            return True\n"
        "    return False\n",
        "        if pack in packs_of(known.values()):\n"
        "            return True\n"
        "    return True\n",
        "freeing packs all of whose living bytes were moved",
        ("repo/test_check.py::test_a_healed_pack_that_nobody_needs_is_freed",),
    ),
    Mutant(
        "needs-in-moved-packs", "repo/gc/condemning.py",
        "        if pack in packs_of(known.values()):\n"
        "            return True\n"
        "    return False\n",
        "    return False\n",
        "keeping packs to which bytes were moved", (_AGAIN, _GC),
    ),
    Mutant(
        "moved-bytes", "repo/state/needs.py",
        "            return links(event) | condemned(event.objects)\n",
        "            return condemned(event.objects)\n",
        "following moved bytes to who needs them", (_GC, _USERS),
    ),
    Mutant(
        "records-of-others", "repo/state/needs.py",
        "            return needs(event, event.model, event.number)\n", "            return {}\n",
        "counting the versions that came since the last collection", (_GC, _USERS),
    ),
    Mutant(
        "condemned-by-others", "repo/state/needs.py",
        "for key in objects if is_collectable(key)}", "for key in objects}",
        "deleting only packs and manifests, whatever a record condemns", (_FORGED,),
    ),
    Mutant(
        "condemned-by-the-log", "repo/state/users.py",
        " if self._state.gone(key) is not None]", "]",
        "deleting only what the log condemned, whatever a shortcut says", (_USERS,),
    ),
    Mutant(
        "users-of-another-log", "repo/state/users.py",
        "if found.previous == self._hash(number) and isinstance", "if isinstance",
        "holding what an earlier collection kept against the log", (_USERS,),
    ),
    Mutant(
        "users-in-the-state", "repo/state/checkpoint.py",
        "FORMAT, USERS_FORMAT = 3, 103\n", "FORMAT, USERS_FORMAT = 3, 3\n",
        "telling the two kinds of checkpoints apart", (_USERS,),
    ),
    Mutant(
        "users-are-live", "repo/state/users.py",
        "            if self._state.version(model, int(number)) is not None:\n", "            if True:\n",
        "asking the state whether a version that needed something lives", (_USERS,),
    ),
    Mutant(
        "young-objects", "repo/gc/condemning.py",
        ", *self._users.young()}", "}",
        "looking again at what was too young", (_USERS,),
    ),
    Mutant(
        "listing-that-failed", "repo/state/users.py",
        "        self._seen = True\n", "        self._seen, self.listed = True, 1.0\n",
        "listing again if what was found could not be condemned", (_USERS,),
    ),
    Mutant(
        "freed-by-forgers", "repo/gc/condemning.py",
        "            if is_collectable(key) and key not in self._listing.all:\n",
        "            if key not in self._listing.all:\n",
        "condemning only packs and manifests, whatever a record says was freed", (_FORGED,),
    ),
    Mutant(
        "own-keys", "repo/objects.py",
        "        if is_own(found.key):\n            yield found\n",
        "        if True:\n            yield found\n",
        "leaving alone what is not Saver's", (_OWN,),
    ),
    Mutant(
        "form-of-packs", "repo/objects.py",
        "    | packs/[0-9a-f]{32}\\.safetensors\n", "    | packs/[^/]+\\.safetensors\n",
        "leaving alone packs of other names", (_OWN,),
    ),
    Mutant(
        "form-of-manifests", "repo/objects.py",
        "    | manifests/(?P<manifest>[0-9a-f]{2})/(?P=manifest)[0-9a-f]{62}\\.json\n",
        "    | manifests/[0-9a-f]{2}/[0-9a-f]{64}\\.json\n",
        "leaving alone manifests in other folders", (_OWN,),
    ),
    Mutant(
        "form-of-pages", "repo/objects.py",
        "    | state/pages/(?P<page>[0-9a-f]{2})/(?P=page)[0-9a-f]{62}\\.json\n",
        "    | state/pages/[0-9a-f]{2}/[0-9a-f]{64}\\.json\n",
        "leaving alone pages in other folders", (_OWN,),
    ),
    Mutant(
        "form-of-clocks", "repo/objects.py",
        "    | clock/[0-9a-f]{32}\n", "    | clock/.*\n",
        "leaving alone what is beside the clock", (_OWN,),
    ),
    Mutant(
        "links-that-hide", "repo/objects.py",
        "        elif stands_for_folder(found.key):\n            raise DamagedError",
        "        elif False:\n            raise DamagedError",
        "refusing to collect where a link may hide objects",
        (f"{_GC}::test_what_stands_in_place_of_a_folder_stops_the_collector",),
    ),
    Mutant(
        "covered-by-moves", "repo/gc/moving.py",
        "        self._users.refresh()\n        ranges = Ranges(",
        "        return True\n        ranges = Ranges(",
        "looking whether all that lives was moved", (_CAME,),
    ),
    Mutant(
        "covered-by-newest", "repo/gc/moving.py",
        "        self._users.refresh()\n        ranges = Ranges(", "        ranges = Ranges(",
        "looking at the newest versions before a move is recorded", (_CAME,),
    ),
    Mutant(
        "moved-to-condemned", "repo/gc/moving.py",
        "            return None if gone or not self._covers(",
        "            return None if not self._covers(",
        "moving bytes only to packs that are not condemned",
        (f"{_GC}", "repo/test_interleavings.py::test_two_collectors_that_move_the_same_bytes"),
    ),
    Mutant(
        "damage-that-moves", "repo/gc/moving.py",
        "            stored.verify(progress=self._progress)\n", "            pass\n",
        "verifying bytes before they are moved", (),
        equivalent="who takes the tensors out verifies them again, and gives up in the same way",
    ),
    Mutant(
        "pages-in-use", "repo/gc/collection.py",
        "            if found.key in needed or beyond:\n", "            if beyond:\n",
        "keeping the pages of the newest checkpoints",
        (f"{_GC}::test_pages_that_no_checkpoint_needs_are_dropped_once_they_are_old",),
    ),
    Mutant(
        "pages-under-way", "repo/gc/collection.py",
        "max(self._clock.grace, PAGES_LEFT)", "self._clock.grace",
        "leaving pages of a checkpoint that is under way",
        (f"{_GC}::test_pages_that_no_checkpoint_needs_are_dropped_once_they_are_old",),
    ),
    Mutant(
        "checkpoints-beyond", "repo/gc/collection.py",
        "            if found.key in needed or beyond:\n", "            if found.key in needed:\n",
        "leaving checkpoints that are newer than what was read",
        (_GC, f"{_STORES}::test_what_is_not_a_checkpoint_proves_nothing"),
    ),
    Mutant(
        "collectors-allowed", "repo/gc/collection.py",
        '    demand(repo.storage, repo.format().collect, "collect in")\n', "",
        "refusing to collect in a store that needs a newer Saver",
        ("repo/test_repository.py::test_features_of_the_future_are_refused_by_name",),
    ),
]  # fmt: skip
