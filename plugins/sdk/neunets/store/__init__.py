"""What the engine keeps in its store, as generated code."""
