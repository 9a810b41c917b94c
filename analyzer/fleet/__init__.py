"""Snapshots of many machines: each checked where it is, and what they have in common."""
