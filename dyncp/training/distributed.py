"""One training run on several processes, as ``torchrun`` starts them.

Every process holds the whole network and takes its share of the step's batch. What
is averaged over the world: gradients, the batch statistics of every normalisation (and
the gradients through them), utilisation, the reported losses. So a step is that of one process with
the whole batch, up to the order of floating-point sums.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dyncp.errors import EXIT_BAD_INPUT, UserError

# The first process renders the data while the others wait, then validates while they do.
_PATIENCE = timedelta(hours=6)


@dataclass(frozen=True)
class World:
    """The processes of a run: this one is ``rank`` of ``size``."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes, validates and prints."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.local_rank) if self.size > 1 else torch.device("cuda")

    def share(self, batch: int) -> slice:
        """The items of a batch that are this process's; UserError if shares cannot be equal."""
        if batch % self.size:
            raise UserError(
                f"[training] batch = {batch} cannot be shared equally by {self.size} processes; "
                "choose --nproc-per-node so that it divides the batch"
            )
        count = batch // self.size
        return slice(self.rank * count, (self.rank + 1) * count)

    def mean(self, x: Tensor) -> Tensor:
        """Mean over the processes, outside the graph: the same bytes in all of them."""
        if self.size == 1:
            return x.detach()
        total = x.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def any(self, code: int) -> int:
        """The largest of the processes' codes."""
        if self.size == 1:
            return code
        largest = torch.tensor(code, device=self.device)
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
        return int(largest.item())

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The body runs in the main process first, and in the others when it is over there."""
        if self.size > 1 and not self.is_main:
            dist.barrier()
        try:
            yield
        finally:
            if self.size > 1 and self.is_main:
                dist.barrier()

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """The shares are equal, so the batch's gradient is the plain mean of theirs."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.mean(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, averaged in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(averaged.view_as(gradient))


@contextmanager
def joined_world() -> Iterator[World]:
    """The world that ``torchrun`` describes in the environment; of one process without it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    world = World(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]))
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        if world.local_rank >= torch.cuda.device_count():
            raise UserError(
                f"more processes than the {torch.cuda.device_count()} GPUs of this machine; "
                "choose a smaller --nproc-per-node"
            )
        torch.cuda.set_device(world.local_rank)
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    try:
        yield world
    except UserError:
        if world.is_main:
            raise
        raise SystemExit(EXIT_BAD_INPUT) from None  # the same line once is enough
    finally:
        dist.destroy_process_group()


class _Mean(torch.autograd.Function):
    """Mean over the processes. Its gradient is averaged too, as the loss is."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: torch.autograd.function.FunctionCtx, x: Tensor, world: World
    ) -> Tensor:
        ctx.world = world  # type: ignore[attr-defined]
        return world.mean(x)

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: torch.autograd.function.FunctionCtx, gradient: Tensor
    ) -> tuple[Tensor, None]:
        return ctx.world.mean(gradient), None  # type: ignore[attr-defined]


class WorldBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d over the batch of all processes. torch's SyncBatchNorm runs on GPUs only."""

    world = World()

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        mean = _Mean.apply(x.mean(dim=(0, 2, 3)), self.world)
        centred = x - mean[:, None, None]
        variance = _Mean.apply((centred**2).mean(dim=(0, 2, 3)), self.world)
        with torch.no_grad():
            count = self.world.size * x.numel() / x.shape[1]
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, operator, arg-type]
            unbiased = variance * (count / (count - 1))
            self.running_var.lerp_(unbiased, self.momentum)  # type: ignore[union-attr, operator, arg-type]
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr, operator]
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale[:, None, None] + self.bias[:, None, None]


def share_batch_statistics(network: nn.Module, world: World) -> None:
    """Let every BatchNorm2d of the network see the whole batch; its tensors stay as they are."""
    if world.size == 1:
        return  # torch's own is quicker, and the records that ship were made with it
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = WorldBatchNorm2d
            cast(WorldBatchNorm2d, module).world = world
