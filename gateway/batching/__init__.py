"""The door in front of a model: a batch window for each replica, and who waits for a place."""
