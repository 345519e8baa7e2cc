"""Training and test audio, synthesised: speech by synthesisers, noise and rooms by procedure."""
