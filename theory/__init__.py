"""The mathematics of RoLoRA: closed forms, bounds, machine-checked proofs, statistics of evidence."""
