"""The hash of what is kept, named and hidden: `hashlib` has it too, and loads OpenSSL first."""

try:
    from _blake2 import blake2b
except ImportError:  # of another Python
    from hashlib import blake2b

__all__ = ["blake2b"]
