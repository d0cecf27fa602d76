import signal
from typing import NamedTuple

import pytest
import torch

from zeroshot.base import processes
from zeroshot.base.processes import process_group
from zeroshot.console.errors import InputError
from zeroshot.running import torchrun


def test_more_processes_than_gpus_are_refused(monkeypatch):
    for name, value in (("RANK", "1"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "TURN", 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="process 2 of this machine finds 1 GPUs"), process_group():
        pass


@pytest.mark.parametrize(("rank", "local", "error", "seconds"), [
    (0, 0, InputError("mine"), 0), (0, 0, RuntimeError("[gloo/transport/tcp/pair.cc:1] Connection closed by peer"), 10),
    (8, 0, InputError("mine"), 5), (9, 1, RuntimeError("mine"), 6), (1, 1, torch.distributed.DistNetworkError(""), 16)])
def test_processes_tell_their_errors_one_after_the_other(monkeypatch, rank, local, error, seconds):
    for name, value in (("RANK", rank), ("LOCAL_RANK", local)):
        monkeypatch.setenv(name, str(value))
    slept = []
    monkeypatch.setattr(processes.time, "sleep", slept.append)
    monkeypatch.setattr(processes, "_join", lambda: None)
    with pytest.raises(type(error)), process_group():
        raise error
    assert slept == [seconds]


@pytest.mark.parametrize(("fault", "firsts", "said"), [
    (None, "", None), (None, "theirs", None), ("mine", "mine", SystemExit), ("mine", "", InputError),
    ("mine", "theirs", InputError)])
def test_what_another_process_cannot_load_is_told_unless_the_first_tells_it(monkeypatch, fault, firsts, said):
    def load():
        if fault:
            raise InputError(fault)
        return "loaded"

    for name, value in (("from_first", lambda own: firsts), ("is_first", lambda: False), ("TURN", 0)):
        monkeypatch.setattr(processes, name, value)
    if not said:
        assert processes.load_together(load) == "loaded"
        return
    with pytest.raises(said, match="mine" if said is InputError else "1"):
        processes.load_together(load)


class End(NamedTuple):
    exitcode: int
    timestamp: int = 5

    def signal_name(self):
        return signal.Signals(-self.exitcode).name


@pytest.mark.parametrize(("ends", "line"), [
    ({1: End(-signal.SIGTERM), 0: End(1)}, None),
    ({0: End(-signal.SIGTERM), 1: End(1)}, "process 1 ended first, with exit status 1; torchrun"),
    ({2: End(1, 7), 1: End(-signal.SIGKILL)}, "process 1 ended first, by SIGKILL (did the memory run out?); torchrun"),
    ({0: End(-signal.SIGABRT)}, "process 0 ended first, by SIGABRT; torchrun")])
def test_the_process_that_ended_first_is_named_unless_it_has_said_why(ends, line):
    said = torchrun._first_end("stage", ends)
    assert said == 1 if line is None else said.startswith(f"stage: {line}")
