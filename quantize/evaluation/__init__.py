"""All presets against each other: quality, cost, and what their masks know."""
