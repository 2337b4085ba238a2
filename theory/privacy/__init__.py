"""Noise that clients add for privacy: what it leaves of each method."""
