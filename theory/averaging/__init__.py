"""Averaging factors: interference, exactness of alternation, what a round sends."""
