"""Recovery: the theorem's rounds beside the rounds needed."""
