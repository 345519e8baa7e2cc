"""The network: presets, gates, audio features, data, training and probes (PyTorch side)."""
