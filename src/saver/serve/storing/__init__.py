"""A store that a server shares over HTTP, for those whose token allows it: see docs/remote.md.

`addresses.py` answers requests, `receiving.py` takes what is sent, `keeper.py` reads and writes the store,
`kinds.py` examines objects, `judging.py` the records of the log.
"""

from __future__ import annotations
