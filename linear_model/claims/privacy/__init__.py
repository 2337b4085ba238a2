"""Claims on the noise that clients add to what they send."""
