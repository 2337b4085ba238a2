"""The Flower app: `flwr run .` federates a run of the network or of the language model across machines."""
