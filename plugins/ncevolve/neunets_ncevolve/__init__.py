"""NCEvolve: identical cells of a network evolve by morphisms, and each child goes on from its parent's weights."""
