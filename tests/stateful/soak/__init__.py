"""A soak: many processes use one store for a minute or for hours, while faults are on.

    python -m tests.stateful.soak --minutes 60 [--seed 7] [--store DIR] [--sync]

Workers (`worker.py`) save, tag, delete, collect, check, read, and train runs that save themselves. Some meet
failing system calls. They are killed, stopped, and started again, and somebody breaks what is below
`state/` (`sabotage.py`). What was acknowledged to each stands in its journal, outside of the store; a judge
(`judge.py`) compares, while all are stopped, and at the end. Somebody watches whether anything grows without
bound (`watch.py`).
"""
