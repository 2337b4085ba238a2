"""How a step of a derivation is proved by machine."""
