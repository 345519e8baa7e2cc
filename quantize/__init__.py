"""From a float checkpoint to every integer of the deployed network, and the integer model."""
