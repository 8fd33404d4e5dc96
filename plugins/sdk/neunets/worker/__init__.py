"""The protocol of trainer workers, as generated code."""
