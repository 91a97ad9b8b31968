"""Changes modules of torch in every way that a file could, uses them, and reports what ends the process.

    python tests/attacks/torch_crashes.py                        every class, every single change
    python tests/attacks/torch_crashes.py --only LSTM --groups 500 --checked

A change that Python answers with an exception does not concern Saver. One that ends the process with
a signal, or never comes back, must be refused by `saver.families.torch.consistency.check`; with
`--checked`, only what the check lets through is used, and nothing may be reported.

With `--guard`, an allocator of its own (`guard.c`) makes every access beside a tensor visible: without
it most of those read or write some other memory and go on.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import itertools
import mmap
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import torch
from torch import nn
from torch_modules import SAMPLES, Sample
from torch_mutations import Mutation, groups, singles, sizes

_GIB = 1 << 30


def extra_calls(module: Any, arguments: list[Any]) -> Iterator[Callable[[], Any]]:
    """Calls beside the plain one, which reach code of their own."""
    if isinstance(module, (nn.TransformerEncoder, nn.TransformerEncoderLayer)):
        rows = arguments[0]
        padding = torch.zeros(rows.shape[:2], dtype=torch.bool)
        padding[:, -2:] = True
        yield lambda: module(rows, src_key_padding_mask=padding)
        yield lambda: module(rows, torch.zeros(rows.shape[1], rows.shape[1]))
    if isinstance(module, nn.MultiheadAttention):
        padding = torch.zeros(arguments[0].shape[:2], dtype=torch.bool)
        yield lambda: module(*arguments, need_weights=False)
        yield lambda: module(*arguments, key_padding_mask=padding)
        yield lambda: module(*arguments[:1] * 3, need_weights=False)
    if isinstance(module, nn.AdaptiveLogSoftmaxWithLoss):
        yield lambda: module.log_prob(arguments[0])
        yield lambda: module.predict(arguments[0])
    if isinstance(module, nn.RNNBase):
        lengths = torch.tensor([5, 3, 2])[: arguments[0].shape[0]]
        yield lambda: module(nn.utils.rnn.pack_padded_sequence(arguments[0], lengths, True))
        yield lambda: module.flatten_parameters()
        yield lambda: module.all_weights
    image = next((a for a in arguments[:1] if a.dim() in (4, 5) and a.is_floating_point()), None)
    if image is not None:
        kind = torch.channels_last if image.dim() == 4 else torch.channels_last_3d
        yield lambda: module(image.contiguous(memory_format=kind), *arguments[1:])
    if isinstance(module, torch.optim.swa_utils.AveragedModel):
        yield lambda: module.update_parameters(nn.Linear(4, 3))
    if isinstance(module, nn.Embedding):
        yield lambda: module._fill_padding_idx_with_zero()


def _tensors_in(value: Any) -> Iterator[Any]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors_in(item)


def _forward(module: Any, call: Callable[[], Any], grad: bool) -> None:
    with torch.set_grad_enabled(grad):
        found = list(_tensors_in(call()))
        for tensor in found:
            if grad and tensor.requires_grad:
                tensor.sum().backward(retain_graph=True)
            tensor.detach().flatten()[-1:].tolist()


def exercise(module: Any, arguments: list[Any]) -> Iterator[Callable[[], Any]]:
    """Everything that is done with a model."""
    yield lambda: repr(module)
    yield lambda: module.state_dict()
    yield lambda: copy.deepcopy(module)
    for training, grad in itertools.product((True, False), (True, False)):
        wanted = [
            a.clone().requires_grad_() if grad and a.is_floating_point() else a.clone() for a in arguments
        ]
        yield lambda training=training: module.train(training)
        yield lambda wanted=wanted, grad=grad: _forward(module, lambda: module(*wanted), grad)
        for call in extra_calls(module, wanted):
            yield lambda call=call, grad=grad: _forward(module, call, grad)
    yield lambda: module.load_state_dict(module.state_dict())
    yield lambda: module.to(torch.float64)
    yield lambda: module(*[a.double() if a.is_floating_point() else a for a in arguments])
    for part in list(module.modules()):
        for name in ("reset_parameters", "_reset_parameters", "reset_running_stats"):
            if hasattr(type(part), name):
                yield lambda part=part, name=name: getattr(type(part), name)(part)


def use(module: Any, arguments: list[Any]) -> None:
    for step in exercise(module, arguments):
        with contextlib.suppress(Exception):
            step()


def refused(module: Any) -> bool:
    from saver.families.torch.consistency import check

    try:
        for part in reversed(list(module.modules())):
            if isinstance(part, nn.RNNBase):
                _list_weights(part)
            check(part)
    except ValueError:
        return True
    return False


def _list_weights(module: Any) -> None:
    """As the codec does it: what torch holds twice comes from the names."""
    from saver.families.torch.modules import _list_weights as listed

    try:
        listed(module)
    except Exception as error:
        raise ValueError("weights") from error


def mutations(sample: Sample, options: argparse.Namespace) -> Iterator[Mutation]:
    honest = sample.fresh().to(options.dtype)
    if not options.no_singles:
        yield from singles(honest)
    yield from groups(honest, options.groups, options.seed)
    yield from sizes(honest, options.sizes, options.seed)


class Child:
    """A process that uses one changed module after the other, and says how far it came."""

    def __init__(self, sample: Sample, begin: int, options: argparse.Namespace) -> None:
        self.progress = mmap.mmap(-1, 24)
        self._say(begin, 0, 0)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._run(sample, begin, options)
            finally:
                os._exit(0)

    def _say(self, index: int, refusals: int, done: int) -> None:
        self.progress[:] = struct.pack("<qqq", index, refusals, done)

    def state(self) -> tuple[int, int, int]:
        return struct.unpack("<qqq", self.progress[:])  # type: ignore[return-value]

    def _run(self, sample: Sample, begin: int, options: argparse.Namespace) -> None:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (size + options.memory * _GIB,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.dup2(null, 1)
        sys.stdout = io.StringIO()
        warnings.simplefilter("ignore")
        honest = sample.fresh().to(options.dtype)
        arguments = [a.to(options.dtype) if a.is_floating_point() else a for a in sample.arguments()]
        index, refusals = begin, 0
        for index, mutation in enumerate(mutations(sample, options)):
            if index < begin:
                continue
            self._say(index, refusals, 0)
            module = copy.deepcopy(honest)
            try:
                mutation.apply(module)
            except Exception:
                continue
            if _without_weights(module):
                continue
            if options.checked and refused(module):
                refusals += 1
                continue
            use(module, arguments)
        self._say(index + 1, refusals, 1)


def _without_weights(module: Any) -> bool:
    """Whether it is a recurrent network that the codec could not rebuild; else its weights are listed."""
    try:
        for part in module.modules():
            if isinstance(part, nn.RNNBase):
                _list_weights(part)
    except ValueError:
        return True
    return False


def run(sample: Sample, options: argparse.Namespace) -> Iterator[tuple[int, str]]:
    """The mutations that ended the process, and how."""
    begin = 0
    while True:
        child = Child(sample, begin, options)
        last, since = begin, time.monotonic()
        how = ""
        while True:
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            index, refusals, done = child.state()
            if pid:
                if os.WIFSIGNALED(status):
                    how = how or signal.Signals(os.WTERMSIG(status)).name
                break
            if index != last:
                last, since = index, time.monotonic()
            elif time.monotonic() - since > options.patience:
                how = "hang"
                os.kill(child.pid, signal.SIGKILL)
            time.sleep(0.01)
        index, refusals, done = child.state()
        COUNTS["refused"] += refusals
        if done:
            COUNTS["mutations"] += index
            return
        yield index, how or "exit"
        begin = index + 1


COUNTS: Counter[str] = Counter()


def _guarded() -> None:
    """Start again under the guarding allocator."""
    folder = tempfile.mkdtemp()
    library = f"{folder}/guard.so"
    source = Path(__file__).with_name("guard.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", str(source), "-o", library, "-ldl"], check=True)
    environment = {**os.environ, "LD_PRELOAD": library, "GUARDED": "1"}
    os.execve(sys.executable, [sys.executable, "-W", "ignore", *sys.argv], environment)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="samples whose name begins so; several with semicolons")
    parser.add_argument("--but", default="-", help="not those whose name begins so")
    parser.add_argument("--checked", action="store_true", help="use only what the check lets through")
    parser.add_argument("--guard", action="store_true", help="see every access beside a tensor")
    parser.add_argument("--groups", type=int, default=0, help="changes of several entries, for each sample")
    parser.add_argument("--sizes", type=int, default=0, help="changes of all sizes alike, for each sample")
    parser.add_argument("--no-singles", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", default="0/1", help="every n-th sample: 0/2, 1/2")
    parser.add_argument("--patience", type=float, default=15, help="seconds for one change")
    parser.add_argument("--memory", type=int, default=6, help="GiB that a process may take beyond its start")
    parser.add_argument("--dtype", type=lambda name: getattr(torch, name), default=torch.float32)
    options = parser.parse_args()
    if options.guard and "GUARDED" not in os.environ:
        _guarded()
    torch.set_num_threads(1)
    part, parts = map(int, options.part.split("/"))
    names = tuple(options.only.split(";"))
    found = 0
    but = tuple(options.but.split(";"))
    mine = [s for s in SAMPLES if s.label.startswith(names) and not s.label.startswith(but)]
    chosen = mine[part::parts]
    for sample in chosen:
        began = time.monotonic()
        crashes = list(run(sample, options))
        found += len(crashes)
        wanted = dict(crashes)
        for index, mutation in enumerate(mutations(sample, options)):
            if index in wanted:
                print(f"{wanted[index]}\t{sample.label}\t{mutation.place}\t{mutation.value}", flush=True)
        print(f"# {time.monotonic() - began:.1f} s\t{sample.label}", file=sys.stderr, flush=True)
    print(
        f"# {len(chosen)} samples, {COUNTS['mutations']} changes, "
        f"{COUNTS['refused']} refused, {found} crashes"
    )
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
