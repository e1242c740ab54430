"""Several processes that learn together: how they are started and watched, and what ends them."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import torch

from holdfast.core.errors import DeviceError, HoldfastError
from holdfast.core.parent import end_with_parent
from holdfast.core.settings import Machine
from holdfast.train.meeting import meeting_of

T = TypeVar("T")
Say = Callable[[Any], Any]  # tells whoever started the processes something, and returns the answer
GRACE = 3.0  # seconds in which the others may say why they stop


def on_devices(
    machine: Machine,
    work: Callable[..., T],
    *arguments: Any,
    heard: Say = lambda thing: None,
    signals: bool = False,
) -> T:
    """What work returns on rank 0 of as many processes as the machine has devices.

    Args:
        machine: whose devices.
        work: a function of a module, called as ``work(say, *arguments)`` on every rank; what it says
            on rank 0 comes to ``heard``, and it gets the answer.
        arguments: of it, which can be pickled.
        heard: what is said.
        signals: Ctrl-C and SIGTERM go to rank 0, which decides; else they end all here.

    Raises:
        ConfigError: for more devices than there are.
        DeviceError: if a process ends before its work does.
        HoldfastError: what work raises.
    """
    machine.require_devices(machine.devices)
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        meeting = f"file://{Path(folder) / 'meeting'}"
        crew = [_Member(rank, machine, meeting, work, arguments) for rank in range(machine.devices)]
        try:
            with _passed_on(crew[0]) if signals else nullcontext():
                return _watch(crew, heard)
        finally:
            for member in crew:
                member.end()


@contextmanager
def _passed_on(first: _Member) -> Iterator[None]:
    """Inside, a signal that asks to stop goes to the first process."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        if first.process.pid is not None and first.process.is_alive():
            os.kill(first.process.pid, number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    former = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class _Member:
    """One of the processes, and the pipe to it."""

    def __init__(self, rank: int, machine: Machine, meeting: str, work: Any, arguments: Any):
        context = multiprocessing.get_context("spawn")
        self.rank = rank
        self.link, theirs = context.Pipe()
        threads = max(1, torch.get_num_threads() // machine.devices)
        everything = (theirs, rank, machine, meeting, threads, work, arguments)
        self.process = context.Process(target=_serve, args=everything, daemon=True)
        self.process.start()
        theirs.close()

    def word(self) -> tuple[str, Any] | None:
        """What it says; None if it has ended."""
        try:
            return pickle.loads(self.link.recv_bytes())
        except (EOFError, OSError):
            self.process.join(GRACE)
            return None

    def end(self) -> None:
        self.link.close()
        self.process.join(0 if self.process.exitcode is None else 1)
        self.process.terminate()
        self.process.join(2)
        if self.process.is_alive():
            self.process.kill()


def _watch(crew: list[_Member], heard: Say) -> Any:
    """Hear all until rank 0 has its answer and all have ended, or one of them failed."""
    going, answer = {member.link: member for member in crew}, None
    while going:
        for link in wait(list(going)):
            assert isinstance(link, Connection)
            member = going[link]
            word = member.word()
            kind, thing = word if word is not None else ("ended", None)
            if kind == "say":
                link.send_bytes(pickle.dumps(heard(thing)))
            elif kind == "answer":
                answer = thing if member.rank == 0 else answer
                del going[link]
            else:
                raise _cause(member, word, [m for m in going.values() if m is not member])
    return answer


def _cause(first: _Member, word: tuple[str, Any] | None, others: list[_Member]) -> BaseException:
    """Why they stop: what one of them raised itself, before what it says of another's end."""
    words, until = [(first, word)], time.monotonic() + GRACE
    links = {member.link: member for member in others}
    while links and time.monotonic() < until:
        for link in wait(list(links), max(0.0, until - time.monotonic())):
            assert isinstance(link, Connection)
            member = links[link]
            next_word = member.word()
            if next_word is None or next_word[0] == "error":
                words.append((member, next_word))
                del links[link]
    gone = [member for member, heard in words if heard is None]
    errors = [heard[1] for _, heard in words if heard is not None]
    raised = [error for error in errors if not isinstance(error, DeviceError)]
    if raised:
        return raised[0]
    if gone:
        code = gone[0].process.exitcode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return DeviceError(
            f"process {gone[0].rank} of {len(others) + 1} that learn together has ended ({how}; memory "
            "may be short): the run stops, and goes on from its last checkpoint with --resume."
        )
    return errors[0]


def _serve(
    link: Connection,
    rank: int,
    machine: Machine,
    meeting: str,
    threads: int,
    work: Any,
    arguments: Any,
) -> None:
    """What a process does."""
    os.setpgrp()  # a terminal's Ctrl-C is for who started it
    end_with_parent()
    torch.set_num_threads(threads)

    def tell(word: tuple[str, Any]) -> None:
        link.send_bytes(pickle.dumps(word))  # torch would leave tensors behind in this process

    def say(thing: Any) -> Any:
        tell(("say", thing))
        return pickle.loads(link.recv_bytes())

    try:
        with meeting_of(rank, machine.devices, rank, machine, meeting):
            answer = work(say, *arguments)
        tell(("answer", answer if rank == 0 else None))
    except KeyboardInterrupt as error:
        tell(("error", error))
    except HoldfastError as error:
        tell(("error", error))
    except Exception as error:
        trace = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            error = RuntimeError(f"{type(error).__name__}: {error}")
        error.add_note(f"in process {rank} of {machine.devices}:\n{trace}")
        tell(("error", error))
