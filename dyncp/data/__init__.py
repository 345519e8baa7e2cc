"""Training and test audio, synthesised: speech by espeak-ng, noise by procedure."""
