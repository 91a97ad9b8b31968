"""Other servers of predictions, each with its defaults and one worker. Run by the Python of that server's own
environment, without Saver: `python -P benchmarks/foreign.py KIND FOLDER PORT` serves FOLDER/model.joblib."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def mlflow(folder: Path, port: int) -> None:
    import joblib
    from mlflow.sklearn import save_model

    saved = folder / "mlflow"
    if not saved.exists():
        save_model(joblib.load(folder / "model.joblib"), saved, serialization_format="cloudpickle")
    options = ("-m", str(saved), "-h", "127.0.0.1", "-p", str(port), "--env-manager", "local")
    os.execv(sys.executable, (sys.executable, "-m", "mlflow", "models", "serve", *options))


def litserve(folder: Path, port: int) -> None:
    program = str(Path(__file__).with_name("litserving.py"))
    os.execv(sys.executable, (sys.executable, "-P", program, str(folder), str(port)))


def mlserver(folder: Path, port: int) -> None:
    home = folder / f"mlserver-{port}"
    home.mkdir()
    ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    settings = {"host": "127.0.0.1", **ports, "parallel_workers": 0}
    model = {
        "name": "model", "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(folder / "model.joblib"), "version": "1"},
    }  # fmt: skip
    (home / "settings.json").write_text(json.dumps(settings))
    (home / "model-settings.json").write_text(json.dumps(model))
    command = Path(sys.executable).with_name("mlserver")
    os.execv(command, (str(command), "start", str(home)))


if __name__ == "__main__":
    {"mlflow": mlflow, "litserve": litserve, "mlserver": mlserver}[sys.argv[1]](
        Path(sys.argv[2]), int(sys.argv[3])
    )
