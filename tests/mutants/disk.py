"""What makes files durable and exclusive, and keeps Saver within the folder of a store."""

from __future__ import annotations

from .mutant import Mutant

_SYNCED = "disk/test_durable.py::test_data_is_synced_before_the_name_and_the_name_before_the_return"
_CRASHES = "testing/test_faults.py::test_an_object_survives_every_crash_once_it_is_acknowledged"
_LATE = "disk/test_durable.py::test_an_error_that_came_too_late_is_seen_through"
_SHARED = "test_shared_stores.py"
_NAMES = "storages/test_local.py::test_names_are_synced_before_anything_is_acknowledged"
_LINKED = "storages/test_outside.py::test_no_link_in_place_of_a_folder_is_followed"
_NO_FILE = "storages/test_outside.py::test_what_is_not_a_file_is_not_an_object"

MUTANTS = [
    Mutant(
        "file-sync", "disk/durable.py",
        "        self._files.sync(self._file)\n", "",
        "the sync of a file before it gets its name", (_CRASHES,),
    ),
    Mutant(
        "name-sync", "disk/durable.py",
        "            self._files.sync_folder(self._folder)\n", "            pass\n",
        "the sync of the folder before a file is acknowledged", (_CRASHES,),
    ),
    Mutant(
        "data-before-name", "disk/durable.py",
        "            if self._found is None:\n                self._finish(replace)\n"
        "            placed = self._replace() if replace else self._place()\n",
        "            placed = self._replace() if replace else self._place()\n"
        "            if self._found is None:\n                self._finish(replace)\n",
        "the order: bytes are durable before the name is there", (_CRASHES,),
    ),
    Mutant(
        "fsync-of-files", "disk/files.py",
        "        _to_disk(file)", "        os.stat(file)",
        "the system call that makes files durable", (_SYNCED,),
    ),
    Mutant(
        "fsync-of-folders", "disk/files.py",
        "            _to_disk(folder)", "            os.stat(folder)",
        "the system call that makes names durable", (_SYNCED,),
    ),
    Mutant(
        "failed-folder-sync", "disk/files.py",
        "if error.errno not in (errno.EINVAL, errno.EBADF):",
        "if error.errno not in (errno.EINVAL, errno.EBADF, errno.EIO):",
        "the error when a folder cannot be synced",
        ("disk/test_durable.py::test_a_failed_sync_of_the_data_changes_nothing_and_one_of_the_folder_is_reported",),
    ),
    Mutant(
        "size-of-files", "disk/durable.py",
        "        self._files.truncate(self._file, self._size)", "        pass",
        "the cut to the size that was promised",
        ("disk/test_durable.py::test_a_file_is_as_long_as_it_was_said_to_be",),
    ),
    Mutant(
        "short-writes", "disk/durable.py",
        "            while view:", "            if view:",
        "going on after a write that took only a part",
        ("disk/test_durable.py::test_short_writes_are_continued",),
    ),
    Mutant(
        "exclusive-names", "disk/durable.py",
        "placed = self._replace() if replace else self._place()", "placed = self._replace()",
        "leaving a name to who has it",
        ("disk/test_durable.py::test_a_name_that_is_taken_stays_with_who_has_it",),
    ),
    Mutant(
        "read-back-of-links", "disk/durable.py",
        "            if self._is_in_place(error):\n                return True\n", "",
        "looking whether a name was taken although an error came", (_LATE,),
    ),
    Mutant(
        "read-back-of-replacing", "disk/durable.py",
        "            if not self._is_in_place(error):\n                raise\n", "            raise\n",
        "looking whether a file was replaced although an error came", (_LATE,),
    ),
    Mutant(
        "uncertain-names", "disk/durable.py",
        "if not in_place and error.errno in _UNCERTAIN:", "if False:",
        "telling that a name may yet appear",
        ("disk/test_durable.py::test_where_it_cannot_be_known_the_commit_is_unknown",),
    ),
    Mutant(
        "unlearned-names", "disk/durable.py",
        'raise self._unknown("whether the file is in place could not be found out", error) from error',
        "in_place = False",
        "telling that it could not be learned whether a name was taken",
        ("disk/test_durable.py::test_where_nothing_can_be_learned_the_commit_is_unknown",),
    ),
    Mutant(
        "hidden-files", "disk/durable.py",
        "        self._close()\n        self._remove_hidden()\n",
        "        self._close()\n",
        "removing what a failed save began", ("disk/test_durable.py::test_a_failed_write_changes_nothing",),
    ),
    Mutant(
        "mode-of-files", "disk/durable.py",
        "            self._keep_mode()\n", "            pass\n",
        "who may read a file that is replaced",
        ("disk/test_durable.py::test_the_mode_of_a_replaced_file_is_kept",),
    ),
    Mutant(
        "loser-syncs", "disk/durable.py",
        "        self._remove_hidden()\n        try:\n            self._files.sync_folder",
        "        self._remove_hidden()\n        if not placed:\n            return False\n"
        "        try:\n            self._files.sync_folder",
        "making the other one's name durable when a number was taken",
        ("storages/test_local.py::test_who_loses_makes_the_other_durable",),
    ),
    Mutant(
        "sync-above-new-store", "storages/_folders.py",
        "                self._files.make_folder(folder)\n        self._files.sync_folder(above)\n",
        "                self._files.make_folder(folder)\n",
        "the sync of the folder above a new store", (_NAMES,),
    ),
    Mutant(
        "sync-above-found-store", "storages/_folders.py",
        "            if not self._has_objects(folder):\n"
        "                with suppress(PermissionError):  # the owner of the folder above must sync its "
        "name\n"
        "                    self._files.sync_folder(above)\n            return\n",
        "            return\n",
        "the sync of the folder above a store that another process is just making",
        ("storages/test_local.py::test_a_store_that_another_process_has_just_made_is_synced",),
    ),
    Mutant(
        "sync-above-new-folder", "storages/_folders.py",
        "                self._files.make_folder(place)\n            self._files.sync_folder(above)\n",
        "                self._files.make_folder(place)\n",
        "the sync of the folder above a new one", (_NAMES,),
    ),
    Mutant(
        "sync-above-found-folder", "storages/_folders.py",
        'if not is_new and not self._has_objects(Inside(folder, ".")):', "if False:",
        "the sync of the folder above one that another process is just making",
        ("storages/test_local.py::test_a_folder_that_another_process_has_just_made_is_synced",),
    ),
    Mutant(
        "put-once", "storages/local.py",
        "        if not placed:\n            self._demand_object(key)\n            raise CannotWriteError",
        "        if False:\n            raise CannotWriteError",
        "the error when a key is put twice", ("storages/test_local.py::test_a_key_is_put_once",),
    ),
    Mutant(
        "failed-listing", "storages/local.py",
        '            raise self._unread(prefix.removesuffix("/"), error) from error\n',
        "            return []\n",
        "the error when a folder cannot be listed",
        ("storages/test_local.py::test_a_listing_that_fails_is_not_an_empty_one",),
    ),
    Mutant(
        "foreign-names", "storages/local.py",
        "                        for entry in found\n                        if valid(entry.name)\n",
        "                        for entry in found\n",
        "leaving out files whose names cannot be keys",
        ("storages/test_local.py::test_a_file_of_someone_else_is_not_an_object",),
    ),
    Mutant(
        "keys", "storages/_keys.py",
        "    if _KEY.fullmatch(key) is None:\n", "    if False:\n",
        "refusing keys that lead elsewhere",
        ("storages/test_local.py::test_what_cannot_be_a_key_is_refused",),
    ),
    Mutant(
        "depth-of-keys", "storages/_keys.py",
        "(/{_SEGMENT}){{0,{DEPTH - 1}}}", "(/{_SEGMENT})*",
        "the limit on the depth of keys", ("storages/test_local.py::test_what_cannot_be_a_key_is_refused",),
    ),
    Mutant(
        "depth-of-listings", "storages/local.py",
        'if key[-1] != "/" or key.count("/") < DEPTH else None', "",
        "the limit on the depth of listings",
        ("storages/test_outside.py::test_folders_within_folders_have_an_end",),
    ),
    Mutant(
        "links-for-folders", "disk/files.py",
        "| _O_FOLDER | _O_NOFOLLOW\n\"\"\"Entering", '| _O_FOLDER\n"""Entering',
        "O_NOFOLLOW on the way to an object", (_LINKED,),
    ),
    Mutant(
        "step-by-step", "storages/_folders.py",
        "        return self._enter(path, self._files.open_folder)\n",
        '        return self._files.open_folder(self._inside + (path or "."))\n',
        "opening each folder from the one above it", (_LINKED,),
    ),
    Mutant(
        "links-for-objects", "disk/files.py",
        "flags if folder is None else flags | _O_NOFOLLOW, dir_fd=folder)", "flags, dir_fd=folder)",
        "O_NOFOLLOW for an object that becomes a link while it is opened",
        ("storages/test_outside.py::test_a_link_that_comes_at_any_moment_is_not_followed",),
    ),
    Mutant(
        "links-for-stat", "disk/files.py",
        "os.stat(file.name, dir_fd=file.folder, follow_symlinks=False)",
        "os.stat(file.name, dir_fd=file.folder)",
        "looking at a link itself", (_NO_FILE,),
    ),
    Mutant(
        "links-for-listings", "disk/files.py",
        "flags if folder is None else flags | _O_FOLDER | _O_NOFOLLOW, dir_fd=folder)",
        "flags if folder is None else flags | _O_FOLDER, dir_fd=folder)",
        "O_NOFOLLOW where a folder is listed or synced", (),
        equivalent="only `.` is opened so, of a folder that was itself opened without following a link",
    ),
    Mutant(
        "files-only-when-opened", "storages/local.py",
        "            self._demand_file(key, self._files.stat(place))", "            pass",
        "refusing to open what is not a file", (_NO_FILE,),
    ),
    Mutant(
        "files-only-when-asked", "storages/local.py",
        "            return self._demand_file(key, self._folders.at(key, self._files.stat))\n",
        "            return Stat(self._folders.at(key, self._files.stat).st_size, 0)\n",
        "refusing to list what is not a file", (_NO_FILE,),
    ),
    Mutant(
        "files-only-of-neighbours", "storages/local.py",
        "            return self._demand_file(key, self._files.stat(Inside(folder, ",
        "            return Stat(0, 0) or (key, (Inside(folder, ",
        "refusing what is not a file among objects of one folder", (_NO_FILE,),
    ),
    Mutant(
        "mode-of-shared-files", "disk/durable.py",
        "        if self._mode is not None:", "        if False:",
        "opening each new file of a shared store to its group",
        (f"{_SHARED}::test_members_work_after_each_other_and_everything_stays_shared",),
    ),
    Mutant(
        "mode-of-shared-folders", "storages/_folders.py",
        "            if self._shared and (", "            if False and (",
        "opening each folder of a shared store to its group, also one that a killed member left closed",
        (f"{_SHARED}::test_two_members_save_at_the_same_time",),
    ),
    Mutant(
        "folders-that-others-create", "storages/_folders.py",
        "            _shared.settled(self._files, folder)\n", "            pass\n",
        "waiting, before writing, for a folder that another member is just creating",
        (f"{_SHARED}::test_two_members_save_at_the_same_time",),
    ),
    Mutant(
        "others-in-shared-stores", "storages/_shared.py",
        "own & root & 0o007", "root & 0o007",
        "leaving to the umask what others may do in a shared store",
        (f"{_SHARED}::test_the_mode_of_what_is_created_is_never_more_than_the_folder_allows",),
    ),
    Mutant(
        "waiting-for-shared-folders", "storages/_folders.py",
        "            if not self.settled(path):", "            if True:",
        "waiting for a folder that another member is just creating",
        (f"{_SHARED}::test_a_folder_that_is_being_created_is_waited_for",),
    ),
]  # fmt: skip
