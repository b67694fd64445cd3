"""The processes that share a training or an evaluation."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn, TypeVar

import torch
import torch.distributed
from torch import Tensor

Value = TypeVar("Value")


class FirstRankError(ValueError):
    """What went wrong in the first process, raised in the others."""


@dataclass(frozen=True)
class Ranks:
    """The processes that share the work, as torchrun starts them.

    Attributes:
        rank: of this process; 0 does what only one may do.
        count: of all processes.
        local: rank among the processes of this machine.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @classmethod
    def join(cls) -> Ranks:
        """The ranks of the environment; waits for the others to come."""
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return cls()
        if not torch.distributed.is_initialized():
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            # The first rank adds up or validates alone, for as long as it takes.
            torch.distributed.init_process_group(backend, timeout=timedelta(days=7))
        return cls(torch.distributed.get_rank(), count, int(os.environ.get("LOCAL_RANK", "0")))

    @staticmethod
    def end(main: Callable[[], int]) -> NoReturn:
        """End this process with the exit code of ``main``.

        In a group without taking the interpreter apart: threads of the group that are still there
        then abort the process now and then, after its work is done.
        """
        try:
            code = main()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        if torch.distributed.is_initialized():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        raise SystemExit(code)

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.count > 1:
            torch.distributed.barrier()

    def after_first(self, action: Callable[[], Value]) -> Value:
        """``action()`` in the first process and, once it has succeeded there, in the others.

        So the first one can make what the others find made, or say that none shall go on.

        Raises:
            FirstRankError: in the others, with the message of what the first one raised.
        """
        if self.count == 1:
            return action()
        told: list[str | None] = [None]
        if self.rank == 0:
            try:
                result = action()
            except Exception as error:
                told = [str(error) if isinstance(error, ValueError) else repr(error)]
                torch.distributed.broadcast_object_list(told)
                raise
            torch.distributed.broadcast_object_list(told)
            return result
        torch.distributed.broadcast_object_list(told)
        if told[0] is not None:
            raise FirstRankError(told[0])
        return action()

    def share(self, items: int) -> range:
        """The part of ``items`` numbered things that this process works on; parts are equal.

        Raises:
            ValueError: the items cannot be divided equally.
        """
        if items % self.count:
            raise ValueError(f"{items} cannot be divided equally among {self.count} processes")
        each = items // self.count
        return range(self.rank * each, (self.rank + 1) * each)

    def add_up(self, values: Tensor) -> Tensor:
        """The sum of ``values`` over all processes, without a gradient; unchanged for one."""
        total = values.detach().clone()
        if self.count > 1:
            torch.distributed.all_reduce(total)
        return total
