"""Hyperband and its kin: many networks train a little, and the best of them train on."""
