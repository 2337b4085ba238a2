"""Folders of results: whole or not at all, with what produced them."""
