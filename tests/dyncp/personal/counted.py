"""Multiply-accumulates as layers are run, counted apart from what a network says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def counting(network: nn.Module) -> Iterator[dict[str, int]]:
    """Fills a dictionary while the body runs: a layer's products, by its name, all calls."""
    counts: dict[str, int] = {}
    hooks = []

    def watch(name: str) -> Any:
        def hook(layer: nn.Module, given: tuple, output: Any) -> None:
            counts[name] = counts.get(name, 0) + products(layer, output)

        return hook

    for name, layer in network.named_modules():
        if not list(layer.children()):
            hooks.append(layer.register_forward_hook(watch(name)))
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


def products(layer: nn.Module, output: Any) -> int:
    """Of one call: every weight once for every place of the output that it makes."""
    if isinstance(layer, nn.LSTM | nn.GRU):
        steps = output[0].shape[0] * output[0].shape[1]
        return int(steps * sum(w.numel() for n, w in layer.named_parameters() if "weight" in n))
    if isinstance(layer, nn.ConvTranspose1d):  # a frame becomes kernel_size samples
        frames = (output.shape[2] - layer.kernel_size[0]) // layer.stride[0] + 1
        return int(output.shape[0] * frames * layer.weight.numel())
    if isinstance(layer, nn.Conv1d):
        return int(output.shape[0] * output.shape[2] * layer.weight.numel())
    if isinstance(layer, nn.Linear):
        return int(output.numel() * layer.in_features)
    return 0
