"""The processes that share a training or an evaluation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed
from torch import Tensor


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

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.count > 1:
            torch.distributed.barrier()

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
