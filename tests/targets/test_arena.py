"""Placing buffers in the arena: shared memory must never be shared at the same time."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from targets.compiler.arena import ALIGNMENT, STEPS, Arena, Buffer, place_buffers
from targets.compiler.emit import _ARENA_FIELDS
from tests.targets.built import Built


def assert_sound(arena: Arena) -> None:
    for first, second in combinations(arena.placements, 2):
        apart = first.end <= second.offset or second.end <= first.offset
        assert apart or not first.buffer.overlaps(second.buffer), f"{first} and {second}"
    for placement in arena.placements:
        assert placement.offset % ALIGNMENT == 0
        assert placement.offset >= 0 and placement.end <= arena.size
    assert arena.size % ALIGNMENT == 0


def lifetimes() -> st.SearchStrategy[tuple[str, str] | tuple[None, None]]:
    steps = st.integers(0, len(STEPS) - 1)
    pairs = st.tuples(steps, steps).map(lambda pair: (STEPS[min(pair)], STEPS[max(pair)]))
    return st.one_of(st.just((None, None)), pairs)


@given(st.lists(st.tuples(st.integers(1, 5000), lifetimes()), max_size=14))
def test_buffers_alive_together_lie_apart(requests: list) -> None:
    """An overlap would let one layer overwrite what another still reads."""
    buffers = [Buffer(f"b{i}", size, *alive) for i, (size, alive) in enumerate(requests)]
    arena = place_buffers(buffers)
    assert_sound(arena)
    assert sorted(p.buffer.name for p in arena.placements) == sorted(b.name for b in buffers)
    # It must never be worse than no sharing at all.
    assert arena.size <= sum(-(-b.size // ALIGNMENT) * ALIGNMENT for b in buffers)


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=len(STEPS)))
def test_buffers_that_never_meet_share_their_memory(sizes: list[int]) -> None:
    """Otherwise the arena needs RAM for nothing."""
    buffers = [Buffer(step, size, step, step) for step, size in zip(STEPS, sizes, strict=False)]
    assert place_buffers(buffers).size == -(-max(sizes) // ALIGNMENT) * ALIGNMENT


def test_two_lifetimes_that_share_one_step_overlap() -> None:
    """The last step of one buffer may read it while the first of another writes."""
    squeezed = Buffer("squeezed", 16, "squeeze", "score")
    assert squeezed.overlaps(Buffer("open", 16, "score", "down"))
    assert not squeezed.overlaps(Buffer("depthwise", 16, "depthwise", "down"))
    assert squeezed.overlaps(Buffer("state", 16))


def test_the_arena_of_a_network_is_sound_and_complete(any_built: Built) -> None:
    arena, preset = any_built.plan.arena, any_built.preset
    assert_sound(arena)
    sizes = {p.buffer.name: p.buffer.size for p in arena.placements}
    assert len(sizes) == len(arena.placements)
    pooled = preset.gate is not None and preset.gate.pool_frames > 1
    missing = set() if preset.gate else {"squeezed", "open_channels"}
    assert set(_ARENA_FIELDS) - set(sizes) == missing | (set() if pooled else {"average"})
    for block, dilation in enumerate(preset.network.block_dilations):
        assert sizes[f"taps{block}"] == (2 * dilation + 1) * preset.network.hidden
        assert (f"logits{block}" in sizes) == ("bits" in sizes) == bool(preset.gate)
        assert (f"pool{block}" in sizes) == (f"sums{block}" in sizes) == pooled


def test_the_map_shows_every_buffer_once_in_address_order(hidden: Built) -> None:
    """People size their RAM by it."""
    arena = hidden.plan.arena
    _, *lines, in_all = arena.map_lines()
    rows = [line.split() for line in lines]
    assert [int(row[0]) for row in rows] == sorted(p.offset for p in arena.placements)
    assert sorted(row[-1] for row in rows) == sorted(p.buffer.name for p in arena.placements)
    assert in_all.split() == [str(arena.size), "in", "all"]
