"""Claims on methods beside RoLoRA, FFA-LoRA and FedAvg-LoRA, by literal rounds of their own rules."""
