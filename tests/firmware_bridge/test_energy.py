"""Joules: from a trace, from a PPK2 through a package with the shape of Nordic's, or not at all."""

from __future__ import annotations

import argparse
import struct
import sys
import types
from typing import Any

import numpy as np
import pytest
from serial import SerialException

from dyncp.errors import UserError
from firmware_bridge.energy import Trace, energy_figures
from firmware_bridge.energy_arguments import add_ppk2_arguments, monitored
from firmware_bridge.ppk2 import SAMPLES_PER_SECOND, Ppk2Monitor

PERIOD, HIGH = 1000, 300
"""Samples from pulse to pulse, and how many of them the trigger is high: 2 mA, else 1 mA."""


def trace(pulses: int, wired: bool = True) -> Trace:
    high = np.tile(np.arange(PERIOD) < HIGH, pulses)
    return Trace(
        np.arange(len(high)) * 1e-5,
        np.where(high, 0.002, 0.001),
        np.full(len(high), 3.0),
        high if wired else None,
    )


def test_joules_of_a_hop_are_those_while_the_trigger_is_high() -> None:
    figures = energy_figures(trace(50), 50, "x")
    assert figures["joules_per_hop"] == pytest.approx(HIGH * 1e-5 * 0.002 * 3.0)
    assert figures["joules"] == pytest.approx(50 * (HIGH * 0.002 + 700 * 0.001) * 1e-5 * 3.0)
    assert (figures["over"], figures["hops"], figures["samples_per_second"]) == ("hops", 50, 100000)
    assert figures["peak_watts"] == pytest.approx(0.006)
    assert figures["mean_watts"] == pytest.approx(0.0039)


def test_without_a_trigger_the_figure_says_that_it_is_of_the_whole_run() -> None:
    """Idle time sold as the network's would flatter a slow board, or hurt a fast one."""
    figures = energy_figures(trace(50, wired=False), 50, "x")
    assert figures["over"] == "run"
    assert figures["joules_per_hop"] == pytest.approx(figures["joules"] / 50)


def test_a_trigger_that_does_not_fit_the_run_gives_no_figure() -> None:
    with pytest.raises(UserError, match="saw 50 pulses on the trigger channel, not the 49 hops"):
        energy_figures(trace(50), 49, "x")
    with pytest.raises(UserError, match="gave 0 samples"):
        energy_figures(Trace(*[np.zeros(0)] * 3), 1, "x")


class FakeApi:
    """As `PPK2_API` of ppk2-api 0.9.2; a sample is a word, uA in its low bits, pins on top."""

    made: list[FakeApi]
    per_read = 5000
    known = True

    def __init__(self, port: str, **_: Any) -> None:
        if port == "/dev/none":
            raise SerialException("could not open port /dev/none")
        self.calls: list[Any] = []
        self.ser = types.SimpleNamespace(close=lambda: self.calls.append("closed"))
        self.current_vdd: int | None = None
        self._measuring = self._sent = 0
        FakeApi.made.append(self)

    def get_modifiers(self) -> bool | None:
        return self.known or None

    def use_source_meter(self) -> None:
        self.calls.append("source")

    def use_ampere_meter(self) -> None:
        self.calls.append("ampere")

    def set_source_voltage(self, mV: int) -> None:
        self.current_vdd = mV

    def toggle_DUT_power(self, state: str) -> None:
        self.calls.append(state)

    def start_measuring(self) -> None:
        assert self.current_vdd is not None
        self._measuring = 1

    def stop_measuring(self) -> None:
        self._measuring = 0

    def get_data(self) -> bytes:
        """Reads end within a word, as they do."""
        if not self._measuring:
            return b""
        first, self._sent = self._sent, self._sent + 4 * self.per_read + 1
        words = np.arange(first // 4, self._sent // 4 + 1)
        data = b"".join(struct.pack("<I", self._word(int(word))) for word in words)
        return data[first % 4 :][: self._sent - first]

    @staticmethod
    def _word(index: int) -> int:
        return (2000 | 1 << 26) if index % PERIOD < HIGH else 1000

    def get_samples(self, buf: bytes) -> tuple[list[float], list[int]]:
        assert buf and len(buf) % 4 == 0
        words = [word for (word,) in struct.iter_unpack("<I", buf)]
        return [float(word & 0xFFFF) for word in words], [word >> 24 for word in words]


class Clock:
    """Time goes on by what it is told at each look."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> type[FakeApi]:
    module = types.ModuleType("ppk2_api.ppk2_api")
    fake = type("PPK2_API", (FakeApi,), {})
    FakeApi.made = []
    module.PPK2_API = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ppk2_api", types.ModuleType("ppk2_api"))
    monkeypatch.setitem(sys.modules, "ppk2_api.ppk2_api", module)
    return fake


def test_a_ppk2_gives_a_trace_in_amperes_and_volts(api: type[FakeApi]) -> None:
    with Ppk2Monitor("/dev/x", 1800, "source", trigger=2, clock=Clock(0.001)) as monitor:
        monitor.start()
        found = monitor.stop()
    expected = [FakeApi._word(index) for index in range(len(found.amperes))]
    assert len(expected) >= FakeApi.per_read
    assert found.trigger is not None
    assert np.allclose(found.amperes, [1e-6 * (word & 0xFFFF) for word in expected])
    assert np.array_equal(found.trigger, [bool(word >> 26) for word in expected])
    assert set(found.volts) == {1.8} and found.step == pytest.approx(1 / SAMPLES_PER_SECOND)
    assert FakeApi.made[0].current_vdd == 1800
    assert FakeApi.made[0].calls == ["source", "ON", "OFF", "closed"]


def test_an_ampere_meter_does_not_switch_the_board_off(api: type[FakeApi]) -> None:
    monitor = Ppk2Monitor("/dev/x", 3300, "ampere")
    monitor.close()
    monitor.close()
    assert FakeApi.made[0].calls == ["ampere", "ON", "closed"]


def test_a_trace_with_holes_is_no_measurement(api: type[FakeApi]) -> None:
    with Ppk2Monitor("/dev/x", 3300, clock=Clock(10_000.0)) as monitor:
        monitor.start()
        with pytest.raises(UserError, match=r"gave \d+ samples in 10000.0 s, not 100000 a second"):
            monitor.stop()


def test_a_ppk2_that_goes_away_is_named_and_let_go(
    api: type[FakeApi], monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = Ppk2Monitor("/dev/x", 3300, clock=Clock(0.001))

    def gone(_: Any) -> bytes:
        raise SerialException("device disconnected")

    monitor.start()
    monkeypatch.setattr(api, "get_data", gone)
    assert monitor._thread is not None
    monitor._thread.join(60)
    with pytest.raises(UserError, match="went away while it measured: device disconnected"):
        monitor.stop()
    monitor.close()
    assert FakeApi.made[0].calls[-1] == "closed"


def test_what_is_no_ppk2_is_named(api: type[FakeApi]) -> None:
    with pytest.raises(UserError, match="cannot open the PPK2 on /dev/none"):
        Ppk2Monitor("/dev/none", 3300)
    with pytest.raises(UserError, match="800 to 5000 mV, not 12000"):
        Ppk2Monitor("/dev/x", 12000)
    with pytest.raises(UserError, match="channels 0 to 7, not 8"):
        Ppk2Monitor("/dev/x", 3300, trigger=8)
    api.known = False
    with pytest.raises(UserError, match="/dev/x does not answer as a PPK2"):
        Ppk2Monitor("/dev/x", 3300)
    assert FakeApi.made[-1].calls == ["closed"]


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ppk2_api", None)
    monkeypatch.setitem(sys.modules, "ppk2_api.ppk2_api", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[energy\]'"):
        Ppk2Monitor("/dev/x", 3300)


def test_only_who_names_a_ppk2_has_one(api: type[FakeApi]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port")
    add_ppk2_arguments(parser)
    with monitored(parser.parse_args([])) as monitor:
        assert monitor is None
    with (
        pytest.raises(UserError, match="an emulator draws nothing"),
        monitored(parser.parse_args(["--ppk2", "/dev/x"])),
    ):
        pass
    with monitored(parser.parse_args(["--ppk2", "/dev/x", "--port", "/dev/y"])) as monitor:
        assert monitor is not None and monitor.name == "PPK2 (source mode)"
    assert FakeApi.made[-1].calls[-1] == "closed"
