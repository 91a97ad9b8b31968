"""Predictions of saved models over HTTP: `saver serve`. See docs/serving.md.

One process, the server, holds all connections, checks everything that comes, and queues it (`server.py`,
`door.py`, `batching.py`). It never holds a model. For each version there is a template (`template.py`), a
process of its own that loads and checks the version and starts no thread; workers (`worker.py`) are forked
from it. So another version takes over by a switch between queues (`served.py`), limits hold for all clients
together, and a model that crashes or hangs costs one worker.
"""
