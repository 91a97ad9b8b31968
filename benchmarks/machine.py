"""The machine and software of a measurement."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    *("saver-ml", "numpy", "blake3", "msgspec", "torch", "safetensors"),
    *("joblib", "h5py", "scikit-learn", "skops", "mlflow-skinny"),
    *("lightning", "orbax-checkpoint"),
)


def describe(folder: Path) -> dict[str, str]:
    """The machine and the software, line by line; `folder` held the files."""
    device, kind, options = _mount(folder)
    processor = _field("/proc/cpuinfo", "model name") or platform.processor()
    load = ", ".join(f"{load:.2f}" for load in os.getloadavg())
    return {
        "date": datetime.date.today().isoformat(),
        "processor": f"{processor}, {os.cpu_count()} cores",
        "memory": f"{_memory() / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": f"{kind} ({options})",
        "disk": _disk(device),
        "Python": platform.python_version(),
        "packages": ", ".join(filter(None, map(_package, PACKAGES))),
        "load of the machine": f"{load} (1, 5, 15 minutes, at the end)",
    }


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _mount(folder: Path) -> tuple[str, str, str]:
    """Device, file system and options of the mount that holds `folder`."""
    found = ("", "unknown", "")
    longest = -1
    real = str(folder.resolve())
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, point, kind, options = line.split()[:4]
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) > longest:
            found, longest = (device, kind, options), len(point)
    return found


def _disk(device: str) -> str:
    """The kind of block device; the device below a virtual one is not visible from here."""
    name = Path(device).resolve().name
    for candidate in (name, name.rstrip("0123456789"), name.rstrip("0123456789").removesuffix("p")):
        block = Path("/sys/block") / candidate
        if candidate and block.is_dir():
            size = int((block / "size").read_text()) * 512
            turning = (block / "queue" / "rotational").read_text().strip() == "1"
            virtual = " virtio, virtual" if candidate.startswith("vd") else ""
            return f"{candidate}:{virtual} {size / 1e9:.0f} GB{', rotating' * turning}"
    return device


def _package(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return ""
