"""Questions to the whole machine: who holds this (`who`), is all of it named (`census`)."""
