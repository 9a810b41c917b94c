"""Addresses in tables: hashed, told apart, and not to be turned back."""

from __future__ import annotations

import os
import stat
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING

import numpy as np
import pytest

from analyzer.snapshot.addresses import KEY_FILE, boot_key, hashed, key_id, siphash
from tests.build import Machine

if TYPE_CHECKING:
    from pathlib import Path

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


def machine() -> Machine:
    made = Machine()
    made.object("FILE", 1, holders=[(made.task(100), "files")])
    return made


def test_snapshots_of_one_boot_can_be_compared_and_others_cannot(tmp_path: Path) -> None:
    snapshot = machine().snapshot(100)
    place = str(tmp_path / "run")
    first, again, later = (hashed(snapshot, boot_key(boot, place)) for boot in ("a", "a", "b"))
    assert first.meta["address_key"] == again.meta["address_key"] != later.meta["address_key"]
    addresses = [s.tables["objects"]["address"].tolist() for s in (first, again, later)]
    assert addresses[0] == addresses[1] != addresses[2]
    random = [hashed(snapshot) for _ in "12"]
    assert random[0].meta["address_key"] != random[1].meta["address_key"]
    assert first.meta["addresses"] == "hashed"
    assert len(key_id(KEY)) == 8


def test_the_secret_is_its_owners_alone(tmp_path: Path) -> None:
    place = tmp_path / "run"
    old = os.umask(0)
    try:
        key = boot_key("boot", str(place))
    finally:
        os.umask(old)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE((place / KEY_FILE).stat().st_mode) == 0o600
    assert os.listdir(place) == [KEY_FILE]
    secret = (place / KEY_FILE).read_bytes()
    assert len(secret) == 16
    assert key not in {None, secret}


@pytest.mark.parametrize("fault", ["mode", "short", "long", "link", "pipe", "folder", "no folder"])
def test_a_secret_that_others_may_know_or_choose_is_not_used(tmp_path: Path, fault: str) -> None:
    """It stays as it is, and there is no key: the snapshot gets a random one."""
    place = tmp_path / "run"
    boot_key("boot", str(place))
    path = place / KEY_FILE
    match fault:
        case "mode":
            path.chmod(0o640)
        case "short" | "long":
            path.write_bytes(bytes(15 if fault == "short" else 17))
        case "link":
            path.rename(tmp_path / "elsewhere")
            path.symlink_to(tmp_path / "elsewhere")
        case "pipe":
            path.unlink()
            os.mkfifo(path, 0o600)
        case "folder":
            place.chmod(0o770)
        case _:
            path.unlink()
            place.rmdir()
            place.write_bytes(b"")
    assert boot_key("boot", str(place)) is None


def test_who_comes_at_once_gets_the_same_key(tmp_path: Path) -> None:
    place = str(tmp_path / "run")
    with ThreadPool(8) as pool:
        assert len(set(pool.map(lambda _: boot_key("boot", place), range(32)))) == 1
    assert os.listdir(place) == [KEY_FILE]


def test_the_folder_is_that_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}/mine:{tmp_path}/more")
    assert boot_key("boot") == boot_key("boot", f"{tmp_path}/mine") != boot_key("other")
