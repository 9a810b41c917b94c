"""One reading of a machine as a value: its tables, and the file that keeps them."""
