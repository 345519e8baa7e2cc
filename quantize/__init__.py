"""From a float checkpoint to every integer of the deployed network, and the model that runs them."""
