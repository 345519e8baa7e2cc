"""firmware.elf: built, measured, named by its content, and refused where it cannot be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.flatbuffer import text
from dyncp.errors import UserError
from targets.board import Board, Emulator, board_names, load_board
from targets.firmware_build import (
    Firmware,
    _plan_payload_bytes,
    build_firmware,
    build_planned,
    read_firmware,
)
from targets.toolchain import run_tool
from tests.targets.built import PROBES, Built, edited

BOARD = load_board("mps2-an386")
APART = load_board("mps3-an547")
"""Its constants lie in a memory of their own."""


def image_of(folder: Path) -> bytes:
    """The bytes that would be flashed."""
    output = folder / "firmware.bin"
    run_tool("arm-none-eabi-objcopy", ["-O", "binary", folder / "firmware.elf", output])
    return output.read_bytes()


def sizes_of(elf: Path) -> dict[str, int]:
    rows = [line.split() for line in run_tool("arm-none-eabi-size", ["-A", elf]).splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[1].isdigit()}


@pytest.fixture(scope="module")
def built_folder(hidden: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("board")
    build_firmware(hidden.tflite, BOARD, folder)
    return folder


@pytest.mark.parametrize("board", [BOARD, APART], ids=lambda board: board.name)
def test_the_figures_are_those_of_the_image(board: Board, hidden: Built, tmp_path: Path) -> None:
    """The report quotes them as what the model costs."""
    built = build_firmware(hidden.tflite, board, tmp_path)
    firmware = read_firmware(tmp_path / "firmware.elf")
    sizes = sizes_of(tmp_path / "firmware.elf")
    assert firmware == built
    assert (firmware.board, firmware.preset) == (board.name, hidden.preset.name)
    assert firmware.model_hash == hidden.model.model_hash
    constants = sizes[".text"] + sizes[".rodata"] + sizes.get(".ARM.exidx", 0)
    assert firmware.flash_bytes == constants + sizes.get(".data", 0)
    assert firmware.flash_bytes == sum(loaded(tmp_path / "firmware.elf").values())
    assert firmware.ram_bytes == sizes.get(".data", 0) + sizes[".bss"]
    assert firmware.stack_bytes == sizes[".stack"] == board.memory.stack_bytes
    assert firmware.ram_bytes > hidden.plan.arena.size
    assert f"-mcpu={board.core.cpu}" in firmware.flags
    assert "arm-none-eabi-gcc" in firmware.compiler


def test_constants_go_where_the_board_has_room_for_them(hidden: Built, tmp_path: Path) -> None:
    """The M55's machine starts from 512 KB; the weights of a network are more."""
    firmware = build_firmware(hidden.tflite, APART, tmp_path)
    memory = APART.memory
    assert memory.constants is not None
    there = {"flash": 0, "constants": 0}
    for address, size in loaded(tmp_path / "firmware.elf").items():
        for name in there:
            region = memory.regions[name]
            there[name] += size if region.origin <= address < region.end else 0
    assert there["constants"] == firmware.sections[".rodata"] > 0
    assert sum(there.values()) == firmware.flash_bytes


def loaded(elf: Path) -> dict[int, int]:
    """The bytes that a debugger or an emulator loads, by the address they go to."""
    segments = [
        line.split()
        for line in run_tool("arm-none-eabi-readelf", ["-lW", elf]).splitlines()
        if line.split()[:1] == ["LOAD"]
    ]
    return {int(words[3], 16): int(words[4], 16) for words in segments if int(words[4], 16)}


@pytest.mark.parametrize("name", [n for n in board_names() if not load_board(n).emulator])
def test_a_board_that_nobody_here_can_run_is_built_and_fits(
    name: str, hidden: Built, tmp_path: Path
) -> None:
    """Its own drivers are in the image, its vectors where the core looks for them."""
    board = load_board(name)
    firmware = build_firmware(hidden.tflite, board, tmp_path)
    memory = board.memory
    assert 0 < firmware.flash_bytes <= memory.flash.bytes
    assert 0 < firmware.ram_bytes + firmware.stack_bytes <= memory.ram.bytes
    for address, size in loaded(tmp_path / "firmware.elf").items():
        assert memory.flash.origin <= address and address + size <= memory.flash.end
    symbols = symbols_of(tmp_path / "firmware.elf")
    used = {"clocks_init", "pins_init"} | ({"caches_init"} if board.core.caches else set())
    for hook in used:
        assert symbols[hook] != symbols.get("nothing_to_do"), f"no driver for {hook}"
    words = np.frombuffer(image_of(tmp_path), "<u4", count=16 + board.uart.receive_interrupt + 1)
    assert words[0] == symbols["__stack_top"]
    assert memory.ram.origin < words[0] <= memory.ram.end
    assert words[1] == symbols["reset_handler"] | 1
    assert words[-1] == symbols["uart_interrupt"] | 1
    # The RP2350's boot ROM starts no image without this block, and says nothing.
    block = np.array([0xFFFFDED3, 0x10210142, 0x000001FF, 0, 0xAB123579], "<u4").tobytes()
    assert image_of(tmp_path).count(block) == (name == "pico2")
    assert name != "pico2" or image_of(tmp_path).index(block) in range(0, 4096 - len(block), 4)


def symbols_of(elf: Path) -> dict[str, int]:
    rows = [line.split() for line in run_tool("arm-none-eabi-nm", [elf]).splitlines()]
    return {row[2]: int(row[0], 16) for row in rows if len(row) == 3}


def test_everything_that_belongs_to_a_build_lies_beside_it(built_folder: Path) -> None:
    found = {path.relative_to(built_folder).as_posix() for path in built_folder.rglob("*.*")}
    sources = (
        "board_config.h", "build_id.h", "memory.ld", "sluice_model.c", "sluice_model.h",
    )  # fmt: skip
    expected = {"firmware.elf", "firmware.map", "firmware.json", *(f"source/{n}" for n in sources)}
    assert found - {"firmware.bin"} == expected
    assert "sluice_model" in (built_folder / "firmware.map").read_text()


def test_the_build_id_is_in_the_image(built_folder: Path) -> None:
    """The greeting shows it: a host knows whether it talks to this very build."""
    firmware = read_firmware(built_folder / "firmware.elf")
    identity = bytes.fromhex(firmware.build_id)
    assert len(identity) == 16
    assert image_of(built_folder).count(identity) == 1


def test_the_same_sources_give_the_same_build_anywhere(
    hidden: Built, built_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two people who build one model must get one build id, and one image."""
    elsewhere = tmp_path / "deeper" / "down"
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    again = build_firmware(hidden.tflite, BOARD, Path("other"))
    assert again == read_firmware(built_folder / "firmware.elf")
    assert image_of(elsewhere / "other") == image_of(built_folder)
    # Twice into one folder: what a build has left there must not count.
    assert build_firmware(hidden.tflite, BOARD, Path("other")) == again


def test_one_weight_makes_another_build(hidden: Built, built_folder: Path, tmp_path: Path) -> None:
    """Also where the model's own hash is not what changed."""

    def one_weight(model: Any) -> None:
        tensors = model.subgraphs[0].tensors
        tensor = next(t for t in tensors if text(t.name) == "block0.down/weight")
        data = np.array(model.buffers[tensor.buffer].data)
        data[5] ^= 1
        model.buffers[tensor.buffer].data = data

    other = edited(hidden.tflite, tmp_path / "other.tflite", one_weight)
    first = read_firmware(built_folder / "firmware.elf")
    second = build_firmware(other, BOARD, tmp_path / "out")
    assert first.model_hash == second.model_hash
    assert first.build_id != second.build_id


def test_another_board_makes_another_build(
    static: Built, hidden: Built, built_folder: Path, tmp_path: Path
) -> None:
    """An awkward title and a network without gates build too."""
    board = replace(BOARD, title="über */ \\ board\n", emulator=Emulator("mps2-an386", 6))
    first = read_firmware(built_folder / "firmware.elf")
    assert build_firmware(hidden.tflite, board, tmp_path / "a").build_id != first.build_id
    assert build_firmware(static.tflite, board, tmp_path / "b").preset == static.preset.name


def test_another_map_of_memory_makes_another_build(static: Built, tmp_path: Path) -> None:
    """The code is another: its addresses are."""
    ram = replace(BOARD.memory.ram, origin=BOARD.memory.ram.origin + 0x1000)
    moved = replace(BOARD, memory=replace(BOARD.memory, ram=ram))
    first = build_firmware(static.tflite, BOARD, tmp_path / "a")
    assert build_firmware(static.tflite, moved, tmp_path / "b").build_id != first.build_id


@pytest.mark.parametrize(
    ("board", "memory"),
    [(BOARD, "flash"), (BOARD, "ram"), (APART, "flash"), (APART, "constants"), (APART, "ram")],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_an_image_that_does_not_fit_names_the_memory(
    board: Board, memory: str, static: Built, tmp_path: Path
) -> None:
    board = with_memory(board, memory, 4608)
    message = (
        f"does not fit board '{board.name}': memory.{memory} has 4608 bytes, [0-9]+ too few; choose"
    )
    with pytest.raises(UserError, match=message) as caught:
        build_firmware(static.tflite, board, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("firmware.*"))
    assert not list(tmp_path.glob(".firmware*"))


def with_memory(board: Board, memory: str, size: int) -> Board:
    region = replace(getattr(board.memory, memory), bytes=size)
    return replace(board, memory=replace(board.memory, **{memory: region}))


def test_a_core_that_the_compiler_does_not_know_is_named(static: Built, tmp_path: Path) -> None:
    board = replace(BOARD, core=replace(BOARD.core, cpu="cortex-m99"))
    with pytest.raises(UserError, match="cortex-m99"):
        build_firmware(static.tflite, board, tmp_path)


def test_the_link_has_room_for_the_longest_message(hidden: Built) -> None:
    """A hop of 1024 samples has 2048 bytes, twice the usual payload."""
    plan = hidden.plan
    assert _plan_payload_bytes(plan) == 1024
    longer = replace(plan, audio=replace(plan.audio, n_fft=2048))
    gates, probes, counters = 2 * 1, len(PROBES) * 4, 20
    assert _plan_payload_bytes(longer) >= 2048 + gates + probes + counters
    assert _plan_payload_bytes(longer) % 16 == 0
    many = replace(plan, probes=plan.probes[:1] * 400)
    assert _plan_payload_bytes(many) >= 2 * plan.audio.n_fft // 2 + gates + 400 * 4 + counters


def test_the_usual_message_holds_the_published_network_and_all_its_tasks(hidden: Built) -> None:
    """A hop of 256 samples, 9 x 128 gates and two dozen probes: no board needs a larger link."""
    block, layer = hidden.plan.network.blocks[0], hidden.plan.network.front
    assert block.gate
    score = replace(layer, weights=np.zeros((128, 16), np.int8))
    blocks = (replace(block, gate=replace(block.gate, score=score)),) * 9
    plan = replace(
        hidden.plan,
        network=replace(hidden.plan.network, blocks=blocks),
        probes=hidden.plan.probes[:1] * 24,
        audio=replace(hidden.plan.audio, n_fft=512, bins=257),
    )
    assert _plan_payload_bytes(plan) == 1024


def test_a_model_without_probes_carries_no_code_for_them(hidden: Built, tmp_path: Path) -> None:
    for plan, expected in ((hidden.plan, True), (replace(hidden.plan, probes=()), False)):
        build_planned(replace(plan, kernels=BOARD.core.kernels), BOARD, tmp_path)
        symbols = run_tool("arm-none-eabi-nm", [tmp_path / "firmware.elf"])
        assert ("sluice_probe_scores" in symbols) is expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot read .*firmware\.json: No such file.*; build it with: python -m targets"),
        ("{", r"firmware\.json is not what `python -m targets firmware` writes"),
        ("{}", r"firmware\.json is not what `python -m targets firmware` writes"),
        ("[]", r"firmware\.json is not what `python -m targets firmware` writes"),
    ],
)
def test_figures_that_are_missing_or_damaged(
    content: str | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "firmware.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_firmware(tmp_path / "firmware.elf")


def test_figures_survive_the_file(built_folder: Path) -> None:
    values = json.loads((built_folder / "firmware.json").read_text())
    firmware = read_firmware(built_folder / "firmware.elf")
    assert isinstance(firmware, Firmware)
    assert {**values, "flags": tuple(values["flags"])} == vars(firmware)
