"""The kernel's memory as columns: an engine that reads it, a layout that explains it, walks."""
