"""Questions to the whole machine: who holds this, which namespaces are there, is all named."""
