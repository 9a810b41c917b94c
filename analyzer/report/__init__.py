"""What is said of a checked snapshot: one frozen value, its holders, groups, columns and words."""
