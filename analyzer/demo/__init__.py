"""The demo: a small leaking container of its own, and what cranalyze says of it."""
