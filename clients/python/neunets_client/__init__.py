"""The client of NeuNetS and its command line."""
