"""The pretrained model, its tokens, and the adapter put into it."""
