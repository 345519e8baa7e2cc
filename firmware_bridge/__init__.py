"""Reaching a board: the link, the emulator, and what is measured over them."""
