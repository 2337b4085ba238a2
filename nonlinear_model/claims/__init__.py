"""The claims about the two-layer network. Listing them imports no torch; checking them does."""
