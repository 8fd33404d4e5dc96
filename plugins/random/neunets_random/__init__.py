"""Random search: each candidate is a fresh draw from a space of chains. The shortest useful synthesizer."""
