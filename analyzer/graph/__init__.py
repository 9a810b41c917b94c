"""The reference graph in networkx, and questions to it."""
