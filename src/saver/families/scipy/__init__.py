"""SciPy: sparse arrays, distributions, interpolators, search trees."""

from __future__ import annotations

from saver.family import Change, Family

_AGAIN = "hold what it is made from, and make it again after loading"

FAMILY = Family(
    name="scipy",
    packages=("scipy",),
    codecs="saver.families.scipy.codecs",
    predicting="saver.families.scipy.predicting",
    references="saver.families.scipy.references",
    pickles="saver.families.scipy.pickles",
    fingerprints="saver.families.scipy.fingerprints",
    homes=("scipy.special",),
    change=Change(
        "note", "note", "ok", "arrays are the same; distributions and interpolators keep private state"
    ),
    instead={
        "scipy.interpolate._rbf.Rbf": "use RBFInterpolator, which replaced it",
        "scipy.stats._distribution_infrastructure.UnivariateDistribution": _AGAIN,
        "scipy.stats._qmc.QMCEngine": "hold what it is made from, and its num_generated; fast_forward(found) "
        "takes a new one to the same place",
        "scipy.spatial._qhull._QhullUser": _AGAIN,
        "scipy.spatial._spherical_voronoi.SphericalVoronoi": _AGAIN,
        "scipy.sparse.linalg._interface.LinearOperator": "hold the matrix that it is made from",
        "SuperLU": "hold the matrix, and factorize it where it is used",
        "scipy.signal._ltisys.LinearTimeInvariant": "hold its matrices, or its numerator and denominator",
        "scipy.optimize._constraints.NonlinearConstraint": _AGAIN,
    },
)
