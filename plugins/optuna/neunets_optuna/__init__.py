"""Optuna's samplers over the spaces of the SDK."""
