"""What everything else speaks of: the vocabulary, errors, system calls, settings, text."""
