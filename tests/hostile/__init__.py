"""Input from strangers, by the thousand: see `mutate`."""
