"""The NeuNetS SDK: network graphs, the plugin contract and what every process shares. No torch."""

__version__ = "0.1.0"
