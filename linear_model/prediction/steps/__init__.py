"""What a step of a does, where there are several of them or every client has its own b."""
