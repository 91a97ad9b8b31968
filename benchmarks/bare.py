"""The least that answers predictions over HTTP: Starlette on uvicorn, and a handler that calls the model.
`python -m benchmarks.bare STORE REF PORT`."""

from __future__ import annotations

import os
import socket
import sys

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import saver


def main(store: str, ref: str, port: str) -> None:
    parts = saver.Saver(store).load(ref)

    async def predict(request: Request) -> JSONResponse:
        rows = np.array((await request.json())["rows"], np.float64)
        if "scaler" in parts:
            rows = parts["scaler"].transform(rows)
        return JSONResponse({"predictions": parts["model"].predict(rows).tolist()})

    # asyncio turns Nagle's algorithm off only for sockets that name their protocol; it costs 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(port)))
    listener.listen(2048)
    app = Starlette(routes=[Route("/predict/model", predict, methods=["POST"])])
    config = uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None, access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(*sys.argv[1:])
