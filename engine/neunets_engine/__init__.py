"""The engine: state, recovery, scheduling, plugins, export."""
