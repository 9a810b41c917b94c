"""Addresses in tables: hashed, told apart, and not to be turned back."""

from __future__ import annotations

import numpy as np

from analyzer.addresses import siphash

KEY = bytes(range(16))


def test_the_hash_is_siphash_2_4() -> None:
    """The vector for the eight bytes 00..07 of the authors' reference implementation."""
    value = np.array([0x0706050403020100], np.uint64)
    assert int(siphash(value, KEY)[0]) == 0x93F5F5799A932462


def test_equal_addresses_stay_equal_and_others_differ() -> None:
    addresses = np.arange(5000, dtype=np.uint64) * np.uint64(8) + np.uint64(0xFFFF888000000000)
    hashed = siphash(np.concatenate((addresses, addresses[::-1])), KEY)
    assert (hashed[:5000] == hashed[5000:][::-1]).all()
    assert len(set(hashed.tolist())) == 5000
    assert not (siphash(addresses, bytes(16)) == hashed[:5000]).any()
