"""Training a preset to a float checkpoint: resumable, seeded step by step, on 1 process or more."""
