"""The service API of the engine, as generated code."""
