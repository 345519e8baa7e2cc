"""Personalisation: whose voice to keep, and the networks that keep it (docs/personal.md)."""
