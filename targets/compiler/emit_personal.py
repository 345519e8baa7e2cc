"""The C of what a personalised network does with an embedding: ``sluice_personal_t``."""

from __future__ import annotations

from targets.compiler.c_text import array, fields, identifier, integers
from targets.compiler.packing.personal import PersonalPlace, personal_places
from targets.compiler.plan import BlockPlan, Plan


def personal_arrays(plan: Plan) -> list[str]:
    """The weights of the embedding, layer by layer, and the structure that leads to them."""
    network, start = plan.network, plan.arena.offset("personal")
    places, size = personal_places(network, plan.kernels)
    columns = [
        array(
            "int8_t",
            f"{identifier(layer.name)}_columns",
            integers(layer.columns.reshape(-1)),
            f"{layer.name}: {layer.outputs} x {network.dimensions}, of the embedding",
        )
        for block in network.blocks
        for layer in block.personal.values()
        if layer.columns is not None
    ]
    blocks = "".join(_block(block, places, start) for block in network.blocks)
    values: dict[str, object] = {"blocks": "personal_blocks", "embedding": start, "bytes": size}
    return [
        *columns,
        f"static const sluice_personal_block_t personal_blocks[{len(network.blocks)}] = {{\n"
        f"{blocks}}};\n",
        f"static const sluice_personal_t personal = {{\n{fields(values)}}};\n",
    ]


def _block(block: BlockPlan, places: dict[str, PersonalPlace], start: int) -> str:
    assert block.embedding
    values: dict[str, object] = {
        "multiplier": block.embedding.multiplier,
        "shift": block.embedding.shift,
    }
    for role, layer in block.personal.items():
        place = places[layer.name]
        values[role] = (
            f"{{{identifier(layer.name)}_columns, {start + place.offset}, {place.words}}}"
        )
    return f"    {{\n{fields(values, ' ' * 8)}    }},\n"
