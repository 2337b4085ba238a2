"""The claims about language models. Listing them imports neither torch nor transformers."""
