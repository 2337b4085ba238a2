"""Claims on what FFA-LoRA's frozen factor costs."""
