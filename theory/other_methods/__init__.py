"""Other federated LoRA methods, solved in the same model, and which of them wins when."""
