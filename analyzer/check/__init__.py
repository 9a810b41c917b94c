"""The check: inside and outside, users versus refcount, a verdict for each object."""
