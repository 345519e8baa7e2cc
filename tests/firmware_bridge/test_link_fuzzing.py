"""Whatever comes in, the firmware's link does what the page says; a mistake in it is found.

``make fuzz-link`` runs ten million inputs; here are some of them.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.firmware_bridge.fake_board import LINK_FOLDER
from tests.firmware_bridge.link_fuzzing import Finding, build_fuzzer, corpus, fuzz

INPUTS = 200_000
ENOUGH = 30_000
"""Each mistake below is found by then, whatever the seed."""

SEEDS = (1, 2, 3)
QUICK = "a frame cut off"
"""No mutation makes its input: it is found by the longest frame in the corpus, or never."""
HANG = "a loop that does not end"
"""Told by seconds of the processor, so one seed must do."""


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the fuzzer, built."""
    folder = tmp_path_factory.mktemp("fuzzer")
    build_fuzzer(folder)
    return folder


def test_no_input_makes_the_board_do_what_the_page_does_not_say(objects: Path) -> None:
    """Nor read or write out of bounds, nor hang, nor stay deaf to the next greeting."""
    found = fuzz(objects / "link_fuzzer", INPUTS)
    assert found.inputs == INPUTS
    assert found.kept > 3 * len(corpus()), "it is not guided by what it reaches"
    # What ends in an enhancer's error that the fake enhancer does not make.
    assert found.blocks >= 0.8 * found.all_blocks, found.unreached


MISTAKES = {
    "no CRC": ("receiver.c", "return link_crc32(receiver->bytes, covered) ==",
               "return link_crc32(receiver->bytes, covered) + 1u > 0 ||"),
    "no CRC of long frames": ("receiver.c", "return link_crc32(receiver->bytes, covered) ==",
                              "return covered > 600 || link_crc32(receiver->bytes, covered) =="),
    "a byte too many": ("receiver.c", "receiver->count < sizeof receiver->bytes",
                        "receiver->count <= sizeof receiver->bytes"),
    "a frame cut off": ("receiver.c", "receiver->overlong || receiver->remaining != 0",
                        "receiver->remaining != 0"),
    HANG: ("receiver.c", "receiver->overlong = true;",
           "receiver->overlong = true; for (;;) {}"),
    "half a group": ("receiver.c", "receiver->overlong || receiver->remaining != 0",
                     "receiver->overlong"),
    "any sequence number": ("session.c", "if (sequence == session->expected) {",
                            "if (sequence >= session->expected) {"),
    "a stale reply": ("session.c", "kept->used && kept->sequence == sequence", "kept->used"),
    "done twice": ("session.c", "session->expected = (uint16_t)(sequence + 1u);",
                   "session->expected = (uint16_t)(sequence + (type != LINK_HOP));"),
    "any version": ("session.c", "frame[0] != LINK_VERSION", "frame[0] > LINK_VERSION + 200"),
    "a complaint for all": ("session.c", "session->complained = true;", ""),
    "a length not checked": ("commands.c", "count != session->info.bins", "count < 1"),
    "an offset at the end": ("commands.c", "offset >= session->tensor_bytes",
                             "offset > session->tensor_bytes"),
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == QUICK else pytest.mark.slow) for name in MISTAKES],
)
def test_a_mistake_in_the_link_is_found(objects: Path, tmp_path: Path, name: str) -> None:
    """Or the millions of inputs above would prove nothing."""
    file, right, wrong = MISTAKES[name]
    link = tmp_path / "firmware" / "link"
    shutil.copytree(LINK_FOLDER, link)
    text = (link / file).read_text(encoding="utf-8")
    assert text.count(right) == 1
    (link / file).write_text(text.replace(right, wrong), encoding="utf-8")
    folder = tmp_path / "objects"
    shutil.copytree(objects, folder)
    (folder / f"link-{Path(file).stem}.o").unlink()
    program = build_fuzzer(folder, link)
    for seed in SEEDS[:1] if name == HANG else SEEDS:
        with pytest.raises(Finding) as caught:
            fuzz(program, ENOUGH, seed)
        run_again = [program, "run", caught.value.path]
        again = subprocess.run(run_again, capture_output=True, check=False)
        assert again.returncode != 0, "the input that was kept does not show it"
