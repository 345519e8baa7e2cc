"""Quantisation-aware training: the integer model in torch, and how it is trained."""
