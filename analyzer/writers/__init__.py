"""Outputs: each writer turns the frozen report into text, and neither reads nor computes."""
