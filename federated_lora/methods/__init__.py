"""The federated LoRA rules, one a file."""
