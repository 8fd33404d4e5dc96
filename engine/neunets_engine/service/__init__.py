"""The servicers of the engine."""
