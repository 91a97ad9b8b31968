"""LitServe with its defaults and one worker: `python -P benchmarks/litserving.py FOLDER PORT`, by the Python
of its own environment, serves FOLDER/model.joblib. Its workers import this file again."""

from __future__ import annotations

import sys
from pathlib import Path

import joblib
import litserve
import numpy as np


class Api(litserve.LitAPI):
    """Rows in, predictions out."""

    def setup(self, device: str) -> None:
        self.model = joblib.load(Path(sys.argv[1]) / "model.joblib")

    def decode_request(self, request: dict[str, list[list[float]]]) -> np.ndarray:
        return np.array(request["rows"], np.float64)

    def predict(self, rows: np.ndarray) -> list[int]:
        return self.model.predict(rows).tolist()

    def encode_response(self, found: list[int]) -> dict[str, list[int]]:
        return {"predictions": found}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), num_api_servers=1, generate_client_file=False)
