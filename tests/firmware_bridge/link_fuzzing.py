"""Coverage-guided fuzzing of the firmware's link: builds ``link_fuzzer/`` and runs it.

    python -m tests.firmware_bridge.link_fuzzing --inputs 10000000

It needs gcc and no other fuzzer: gcc marks the blocks and comparisons of the code, and the
program keeps the inputs that reach new ones. The first inputs are the shared vectors.
"""

from __future__ import annotations

import argparse
import json
import re
import struct
import subprocess
import sys
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

from targets.host_library import SANITISERS
from targets.sources import C_FLAGS, include_folders
from targets.toolchain import run_tool
from tests.firmware_bridge.fake_board import HERE, LINK_FOLDER, MAX_PAYLOAD, WINDOW
from tests.firmware_bridge.vectors import VECTORS, reference_cobs

FUZZER = HERE / "link_fuzzer"
LONGEST_INPUT = 2048
COVERAGE = "-fsanitize-coverage=trace-pc,trace-cmp"
PLAIN = {"crc32.c"}
"""Without coverage: its only branch is a loop, and it would be most of the time."""


@dataclass(frozen=True)
class Fuzzed:
    """What a run reached. ``blocks`` of ``all_blocks`` in the link's code were executed;
    ``unreached``: the source lines of the others. ``seconds`` of processor time."""

    inputs: int
    seconds: float
    edges: int
    comparisons: int
    kept: int
    blocks: int
    all_blocks: int
    unreached: list[str]


class Finding(AssertionError):
    """An input that the link does not stand; ``path`` holds it."""

    def __init__(self, words: str, path: Path) -> None:
        super().__init__(f"{words}\nthe input is in {path}; again: link_fuzzer run {path}")
        self.path = path


def build_fuzzer(folder: Path, link: Path = LINK_FOLDER) -> Path:
    """The program, of the sources in ``link``; objects that exist in ``folder`` stay."""
    folder.mkdir(parents=True, exist_ok=True)
    folders = [link.parent, *include_folders(), HERE, FUZZER]
    flags = [
        *(*C_FLAGS, "-O2", "-g", "-fno-pie"),
        *(f"-DLINK_MAX_PAYLOAD={MAX_PAYLOAD}", f"-DLINK_WINDOW={WINDOW}"),
        *(f"-I{folder}" for folder in folders),
    ]
    objects = []
    for source in [HERE / "fake_enhancer.c", *sorted(FUZZER.glob("*.c"))]:
        objects.append(folder / f"{source.stem}.o")
        if not objects[-1].is_file():
            run_tool("gcc", [*flags, "-c", source, "-o", objects[-1]])
    for source in sorted(link.glob("*.c")):
        objects.append(folder / f"link-{source.stem}.o")
        if not objects[-1].is_file():
            marks = [] if source.name in PLAIN else [COVERAGE]
            run_tool("gcc", [*flags, *SANITISERS, *marks, "-c", source, "-o", objects[-1]])
    program = folder / "link_fuzzer"
    run_tool("gcc", [*SANITISERS, "-no-pie", *objects, "-o", program])
    return program


def corpus() -> list[bytes]:
    """The host's words in the shared vectors, one by one and as the whole conversation; and the
    longest frame, intact, with a byte behind it, which no mutation is likely to make."""
    said = [bytes.fromhex(step["host"]["wire"]) for step in VECTORS["step"]]
    frames = [bytes.fromhex(v["wire"]) for kind in ("frame", "damaged") for v in VECTORS[kind]]
    longest = bytes([1, 3, 1, 0]) + b"\x55" * MAX_PAYLOAD
    longer = longest + zlib.crc32(longest).to_bytes(4, "little") + b"\x55"
    frames.append(b"\0" + reference_cobs(longer) + b"\0")
    return [one[:LONGEST_INPUT] for one in [*said, b"".join(said), *frames]]


def fuzz(program: Path, inputs: int, seed: int = 1) -> Fuzzed:
    """Run ``inputs`` inputs. Raises :class:`Finding` for the first that makes a sanitizer, the
    oracle or the clock complain."""
    start, finding = program.parent / "corpus", program.parent / "finding"
    start.write_bytes(b"".join(struct.pack("<I", len(one)) + one for one in corpus()))
    result = subprocess.run(
        [program, str(inputs), str(seed), start, finding],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if result.returncode != 0:
        raise Finding(result.stderr[:4000], finding)
    figures = json.loads(result.stdout)
    reached = set(figures.pop("blocks"))
    blocks = _blocks(program)
    missing = [address for address in blocks if address & 0xFFFF not in reached]
    return Fuzzed(
        **figures,
        blocks=len(blocks) - len(missing),
        all_blocks=len(blocks),
        unreached=_lines(program, missing),
    )


def _blocks(program: Path) -> list[int]:
    """Where the calls that mark blocks return to; those of the sanitizers' own words left out."""
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", program],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    call = r"call +[0-9a-f]+ <__sanitizer_cov_trace_pc>\n +([0-9a-f]+):"
    functions = re.split(r"\n(?=[0-9a-f]+ <)", listing)
    hot = [text for text in functions if ".cold>:" not in text[: text.find("\n")]]
    return [int(address, 16) for text in hot for address in re.findall(call, text)]


def _lines(program: Path, addresses: list[int]) -> list[str]:
    """``file.c:line`` of each address, each line once."""
    if not addresses:
        return []
    # An address that follows a call may be of the next line: look at the call itself.
    words = [f"{address - 1:x}" for address in addresses]
    told = subprocess.run(
        ["addr2line", "-e", program, *words], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return sorted({Path(line.split(" ")[0]).name for line in told})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz-link"))
    args = parser.parse_args()
    for old in args.folder.glob("*.o"):
        old.unlink()
    try:
        found = fuzz(build_fuzzer(args.folder), args.inputs, args.seed)
    except Finding as finding:
        print(f"error: {finding}", file=sys.stderr)
        return 1
    (args.folder / "fuzzed.json").write_text(json.dumps(asdict(found), indent=1) + "\n")
    rate = found.inputs / found.seconds
    print(
        f"{found.inputs:,} inputs, {rate:,.0f} a second, no finding; {found.blocks} of "
        f"{found.all_blocks} blocks, {found.edges} edges, {found.kept} inputs kept"
    )
    print(f"never reached: {', '.join(found.unreached) or 'nothing'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
