"""Linear predictors on the gate masks: what the masks know about the sound."""
