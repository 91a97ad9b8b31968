"""NumPy: arrays, scalars, dtypes, random generators."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="numpy",
    packages=("numpy",),
    codecs="saver.families.numpy.codecs",
    zips=("np.savez",),
    references="saver.families.numpy.references",
    reading="saver.families.numpy.reading",
    pickles="saver.families.numpy.pickles",
    homes=("numpy",),
    change=Change(
        "note", "note", "ok", "arrays are the same; a restored random Generator may draw different numbers"
    ),
    instead={
        "numpy.poly1d": "save its coefficients, `p.coef`; numpy.poly1d(found) makes it again",
        "numpy.ndarray": "save numpy.asarray(it), and its own attributes beside it",
        "numpy.random._generator.Generator": "save its bit_generator; numpy.random.Generator(found) is "
        "the same again",
        **dict.fromkeys(
            (
                "numpy.vectorize",
                "numpy.nditer",
                "numpy.broadcast",
                "numpy.flatiter",
                "numpy.busdaycalendar",
                "numpy.lib._index_tricks_impl.ndenumerate",
                "numpy.lib._index_tricks_impl.ndindex",
            ),
            "hold what it is made from, and make it again after loading",
        ),
        **dict.fromkeys(
            ("numpy.finfo", "numpy.iinfo"), "save its `dtype`; numpy.finfo(found) makes it again"
        ),
    },
)
