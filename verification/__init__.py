"""What a claim is and what its evidence must show: verdicts, statistics, streams, files. Knows no LoRA."""
