"""Images, labels and how they are dealt to clients."""
