"""A frozen down-projection: the floors of FFA-LoRA."""
