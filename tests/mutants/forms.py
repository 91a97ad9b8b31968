"""Objects as data: what a data form believes, what is refused, and what a refusal says."""

from __future__ import annotations

from .mutant import Mutant

_FORGED = "attacks/test_forged_forms.py::test_a_forged_state_is_refused"
_TRUSTED = "attacks/test_forged_forms.py::test_what_compiled_code_would_trust_is_refused_on_both_sides"
_ASKED = "families/test_forms_of_python.py::test_a_lock_comes_back_as_a_new_one_if_asked"
_REGISTERED = "test_registering.py::test_only_what_can_be_carried_is_registered"
_REFUSED = "test_refusals.py"
_CHECKS = "families/scipy/checks.py"
_NODES = "families/sklearn/nodes.py"
_TREES = "families/test_sklearn_nodes.py"

MUTANTS = [
    Mutant(
        "flags-of-patterns", "families/python/texts.py",
        "    if type(flags) is not int or flags & ~_FLAGS:", "    if False:",
        "refusing patterns that print when they are compiled", (_FORGED,),
    ),
    Mutant(
        "cost-of-patterns", "families/python/texts.py",
        "    if _cost(text, flags) > _COMPILED:", "    if False:",
        "the limit on the time in which a pattern is compiled", (_FORGED,),
    ),
    Mutant(
        "names-of-getters", "families/python/texts.py",
        ' and step[0] != "_"', "",
        "refusing to get what Python and libraries hide", (_FORGED,),
    ),
    Mutant(
        "locks-if-asked", "families/python/locks.py",
        "return cls in _NEW and trust.is_registered(cls)", "return cls in _NEW",
        "saving locks only for those who ask", (_ASKED,),
    ),
    Mutant(
        "methods-of-bases", "families/python/derived.py",
        "self._base.__setitem__(self._obj, key, value)", "self._obj[key] = value",
        "filling a derived dict past the methods of its class",
        ("families/test_forms_of_python.py",),
    ),
    Mutant(
        "corners-of-triangles", _CHECKS,
        '    _require(bool(np.all((corners >= 0) & (corners < count))), "a corner is not a point")\n', "",
        "the range of the corners of a triangulation", (_TRUSTED,),
    ),
    Mutant(
        "sums-of-tables", _CHECKS,
        "bool(np.all(sums >= 0)) and exact == int(total)", "True",
        "holding the sums of a random table against each other", (_TRUSTED,),
    ),
    Mutant(
        "objects-that-are-called", "families/scipy/objects.py",
        "            _check_held(kind, fields)\n", "",
        "the classes of the objects that an object of SciPy calls", (_TRUSTED,),
    ),
    Mutant(
        "indices-of-their-own", "families/scipy/objects.py",
        "copies.setdefault(id(value), value.copy())", "value",
        "giving an object its own copy of the indices that were checked",
        ("attacks/test_forged_forms.py::test_checked_arrays_are_the_objects_own",),
    ),
    Mutant(
        "registered-bases", "families/python/classes.py",
        " and other_form(cls) is None", "",
        "refusing to register what derives from a class with a form of its own", (_REGISTERED,),
    ),
    Mutant(
        "offers-that-work", "codec/refusals.py",
        "    if not registrable(obj):\n", "    if False:\n",
        "offering saver.register only where it works", (_REFUSED,),
    ),
    Mutant(
        "all-refusals", "codec/refusals.py",
        "        if len(self._errors) == known:", "        if not self._errors:",
        "naming all objects that cannot be saved, not only the first", (_REFUSED,),
    ),
    Mutant(
        "added-attributes", "codec/refusals.py",
        "    for name in codec.unsaved(obj):", "    for name in ():",
        "refusing attributes for which a data form has no place", ("families/test_whole_or_refused.py",),
    ),
    Mutant(
        "names-for-pip", "registry.py",
        '    if not is_own(root):\n        return ""\n',
        '    if not is_own(root):\n        return root\n',
        "naming to pip only libraries that Saver knows",
        ("test_missing_packages.py::test_only_libraries_that_saver_knows_are_named_to_pip",),
    ),
    Mutant(
        "ends-of-trees", _NODES,
        " or (np.maximum(to_left, to_right) >= last).any():", ":",
        "refusing children outside of their tree", (_TREES,),
    ),
    Mutant(
        "parents-of-trees", _NODES,
        "    if np.count_nonzero(reached) != 2 * len(parents):", "    if False:",
        "refusing nodes with two parents", (_TREES,),
    ),
    Mutant(
        "depths-of-forests", _NODES,
        "(depths < real).any() or ", "",
        "holding the depth of a tree against its nodes", (_TREES,),
    ),
    Mutant(
        "features-of-trees", _NODES,
        " | (feature >= np.repeat(features, sizes))", "",
        "refusing nodes that ask for features which there are not", (_TREES,),
    ),
    Mutant(
        "halves-of-leaves", _NODES,
        "    if (leaf & (right != -1)).any():", "    if False:",
        "refusing leaves with a child", (_TREES,),
    ),
    Mutant(
        "copies-of-nodes", "families/sklearn/trees.py",
        "        part |= {name: part[name].astype(np.int64) for name in _CHECKED}\n", "",
        "building trees from the copy of their nodes that was checked", (_TREES,),
    ),
    Mutant(
        "wide-columns", _NODES,
        "        if values.min() < limits.min or values.max() > limits.max:", "        if False:",
        "keeping integers that do not fit in 32 bits", (_TREES,),
    ),
    Mutant(
        "texts-of-numpy", "families/sklearn/checks/attributes.py",
        "_TEXTS = (str, np.str_)", "_TEXTS = (str,)",
        "checking texts of NumPy like Python's", ("attacks/test_numpy_scalars.py",),
    ),
    Mutant(
        "declared-kinds", "families/python/kinds.py",
        "            return isinstance(value, classes) or", "            return True or",
        "refusing values of another kind than the library declares",
        ("attacks/test_declared_kinds.py::test_which_values_are_of_a_kind",),
    ),
]  # fmt: skip
