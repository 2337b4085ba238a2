"""Runs checks and their controls, and takes up interrupted runs."""
