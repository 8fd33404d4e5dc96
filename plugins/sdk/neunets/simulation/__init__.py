"""Trained networks as a table, from which trainings are answered without one."""

from neunets.simulation.features import FEATURES, features
from neunets.simulation.table import RECORDED_SPACES, SHIPPED, Curve, Recorded, Table, shipped, write_table

__all__ = ["FEATURES", "RECORDED_SPACES", "SHIPPED", "Curve", "Recorded", "Table", "features", "shipped", "write_table"]
