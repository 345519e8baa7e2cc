"""The part of a tensor that int8 is given decides how coarse all the rest of it becomes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dyncp.errors import UserError
from dyncp.network import GatedConvFSENet
from dyncp.preset import Preset
from quantize.arithmetic import dequantise, quantise
from quantize.balance import balance
from quantize.calibrate import activation, quantise_network
from quantize.methods import METHODS, Method
from quantize.ranges import Histogram, Range, channel_peaks, observe, watch, watched
from quantize.wiring import activation_names
from tests.conftest import tiny_preset
from tests.quantize.models import audio_features, mixed_network

KEPT = 1e-5
"""What ``percentile`` may leave out at either end, as ``observe`` promises."""


def histogram_of(*clips: NDArray[np.floating]) -> Histogram:
    """What two runs over some clips of one tensor see."""
    tensors = [torch.from_numpy(np.asarray(clip, np.float32)) for clip in clips]
    extremes = Range()
    for values in tensors:
        extremes.see(values)
    histogram = Histogram(extremes)
    for values in tensors:
        histogram.see(values)
    return histogram


def squared_error(values: NDArray[np.floating], seen: Range) -> float:
    """Mean square of what int8 on the grid of ``seen`` changes."""
    grid = activation(seen)
    back = dequantise(quantise(values, grid.scale, grid.zero_point), grid.scale, grid.zero_point)
    return float(np.square(back.astype(np.float64) - values).mean())


class Collector:
    """Every value of one activation."""

    def __init__(self) -> None:
        self.parts: list[NDArray[np.float32]] = []

    def see(self, values: torch.Tensor) -> None:
        self.parts.append(values.numpy().reshape(-1).copy())


def all_values(
    network: GatedConvFSENet, clips: list[NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    collectors = {name: Collector() for name in watched(network)}
    watch(network, clips, collectors)
    return {name: np.concatenate(one.parts) for name, one in collectors.items()}


@pytest.mark.parametrize("size", [45_000, 270_000])  # of which 1e-5 is no whole number
@pytest.mark.parametrize("kind", ["normal", "relu", "cubed", "negative"])
def test_percentile_drops_the_rarest_values_and_no_more(kind: str, size: int) -> None:
    values = np.random.default_rng(3).standard_normal(size).astype(np.float32)
    values = {"relu": np.maximum(values, 0), "cubed": values**3, "negative": -abs(values)}.get(
        kind, values
    )
    histogram = histogram_of(values)
    seen, found = histogram.extremes, histogram.percentile()
    bin_width = (seen.high - seen.low) / 4096
    for outside in (values > found.high, values < found.low):
        assert outside.mean() <= KEPT
    # One bin less would drop more than it may.
    if found.high > 0:
        assert (values >= found.high - 1.001 * bin_width).mean() > KEPT
    if found.low < 0:
        assert (values <= found.low + 1.001 * bin_width).mean() > KEPT
    assert seen.low <= found.low <= 0 <= found.high <= seen.high * (1 + 1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_one_loud_value_in_a_million_does_not_make_the_others_coarse(sign: int) -> None:
    values = np.random.default_rng(1).normal(size=1_000_000).clip(-4, 4).astype(np.float32)
    values[12345] = sign * 60.0
    histogram = histogram_of(values)
    bulk = np.delete(values, 12345)
    loud, percentile = squared_error(bulk, histogram.extremes), histogram.percentile()
    assert squared_error(bulk, percentile) < loud / 30
    # It is dropped at its own end alone.
    assert min(-percentile.low, percentile.high) > 3.9
    # What is lost on the loud value itself counts for `mse`, so it goes less far.
    least = histogram.least_error()
    assert squared_error(values, least) < 0.7 * squared_error(values, histogram.extremes)


def test_zero_stays_inside_where_all_values_are_far_from_it() -> None:
    """Rings start at zero activation, and closed channels are zero."""
    values = np.linspace(5, 6, 200_000)
    for sign in (1, -1):
        histogram = histogram_of(sign * values)
        for found in (histogram.percentile(), histogram.least_error()):
            assert found.low <= 0 <= found.high
            assert abs(found.low + found.high) == pytest.approx(6, rel=0.03)


@pytest.mark.parametrize("value", [0.0, 2.5, -2.5, 1e-6])
def test_a_constant_tensor_is_kept_whole(value: float) -> None:
    histogram = histogram_of(np.full(1000, value))
    for found in (histogram.percentile(), histogram.least_error()):
        assert (found.low, found.high) == pytest.approx((min(0.0, value), max(0.0, value)))


def test_a_histogram_adds_up_over_clips() -> None:
    """A value that one clip has often and the others never is not rare."""
    rng = np.random.default_rng(2)
    clips = [rng.normal(size=40_000), np.zeros(10), rng.normal(size=40_000) + 9]
    apart, joined = histogram_of(*clips), histogram_of(np.concatenate(clips))
    np.testing.assert_array_equal(apart.counts, joined.counts)
    assert apart.counts.sum() == 80_010
    assert apart.percentile() == joined.percentile()
    assert apart.percentile().high > 11


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]), st.booleans())
def test_least_error_is_no_worse_than_the_extremes(seed: int, power: int, both: bool) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=20_000) ** power
    values = values if both else abs(values)
    histogram = histogram_of(values)
    values = values.astype(np.float32)
    least = squared_error(values, histogram.least_error())
    assert least <= 1.02 * squared_error(values, histogram.extremes)


def test_no_tensor_of_a_network_is_worse_for_the_method(any_tiny_preset: Preset) -> None:
    network = mixed_network(any_tiny_preset)
    clips = [audio_features(any_tiny_preset, 300, seed) for seed in (7, 8)]
    extremes, found = (observe(network, clips, method) for method in ("minmax", "mse"))
    better = 0
    for name, values in all_values(network, clips).items():
        before, after = squared_error(values, extremes[name]), squared_error(values, found[name])
        assert after <= 2 * before, name
        better += after < 0.99 * before
    assert better > 0


@pytest.mark.parametrize("method", METHODS)
def test_every_method_covers_every_activation(method: Method) -> None:
    """Several clips, empty ones among them, and frames given by a generator."""
    preset = tiny_preset("hidden", 4)
    network = mixed_network(preset)
    clips = [audio_features(preset, 60, seed=7), np.zeros((33, 0), np.float32)]
    clips.append(audio_features(preset, 90, seed=8))
    found = observe(network, (clip for clip in clips), method)
    assert set(found) == set(activation_names(preset)) - {"mask"}
    assert found == observe(network, clips, method)
    extremes = observe(network, clips, "minmax")
    for name, seen in found.items():
        assert extremes[name].low <= seen.low <= 0 <= seen.high, name
        assert seen.high <= extremes[name].high * (1 + 1e-12), name
        assert seen.high - seen.low > 0.1 * (extremes[name].high - extremes[name].low), name


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_that_never_woke_gets_a_grid(method: Method) -> None:
    preset = tiny_preset()
    network = mixed_network(preset)
    torch.nn.init.constant_(network.blocks[1].up_norm.bias, -1e3)
    clips = [audio_features(preset, 60, seed=7)]
    assert observe(network, clips, method)["block1.hidden"] == Range()
    grid = quantise_network(network, clips, method=method).activations["block1.hidden"]
    assert (grid.scale, grid.zero_point) == (np.float32(1e-3 / 255), -128)


def hooks(network: GatedConvFSENet) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


def broken(network: GatedConvFSENet, what: str) -> list[NDArray[np.float32]]:
    """Clips on which ``network`` cannot be calibrated."""
    clips = [audio_features(network.preset, 40, seed=7) for _ in range(2)]
    if what == "features":
        clips[1][3, 2] = np.inf
    elif what == "weights":
        with torch.no_grad():
            network.blocks[1].down.bias[2] = float("nan")
    elif what == "shape":
        clips[1] = clips[1][:-1]
    else:
        clips = []
    return clips


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("features", "calibration features hold values that are not finite"),
        ("weights", r"block1\.update is not finite"),
        ("nothing", "at least one frame"),
        ("shape", None),
    ],
)
@pytest.mark.parametrize("method", [*METHODS, "peaks", "balance"])
def test_a_failure_leaves_no_hook_in_the_network(
    method: str, what: str, message: str | None
) -> None:
    """A hook that stayed would fail, or slow down, whatever runs the network next."""
    network = mixed_network(tiny_preset())
    clips = broken(network, what)
    with pytest.raises(UserError if message else RuntimeError, match=message):
        if method == "peaks":
            channel_peaks(network, clips)
        elif method == "balance":
            balance(network, clips)
        else:
            observe(network, clips, method)  # type: ignore[arg-type]
    assert hooks(network) == 0


def test_a_success_leaves_no_hook_either() -> None:
    network = mixed_network(tiny_preset())
    clips = [audio_features(network.preset, 20, seed=7)]
    for method in METHODS:
        observe(network, clips, method)
    channel_peaks(network, clips)
    assert hooks(network) == 0


def test_the_peaks_of_channels_are_those_of_the_network(any_tiny_preset: Preset) -> None:
    """A channel's peak is of magnitudes, over all clips, behind the ReLU where there is one."""
    network = mixed_network(any_tiny_preset)
    clips = [audio_features(any_tiny_preset, 60, seed) for seed in (7, 8)]
    peaks = channel_peaks(network, clips)
    extremes = observe(network, clips, "minmax")
    assert set(peaks) == set(extremes) - {"embedding"}
    for name, peak in peaks.items():
        seen = extremes[name]
        largest = max(-seen.low, seen.high)
        widened = any_tiny_preset.speaker and name.endswith(".input") and largest == 255 / 64
        assert peak.max() == largest or (widened and peak.max() < largest), name
    np.testing.assert_array_equal(
        peaks["features"], np.concatenate(clips, axis=1).max(axis=1).astype(np.float64)
    )
    singles = [channel_peaks(network, [clip]) for clip in clips]
    for name, peak in peaks.items():
        np.testing.assert_array_equal(peak, np.maximum(singles[0][name], singles[1][name]))
