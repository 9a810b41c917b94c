"""A fleet whose snapshots and results are in S3: a server of moto on the loopback address."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import closing
from http.client import HTTPConnection
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import pytest

from tests.unit.test_cli import ROOT, environment
from tests.unit.test_diff import later, machine
from tests.unit.test_fleet import KILLS, saved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
for _name in ("moto", "flask", "s3fs", "distributed"):
    if find_spec(_name) is None:
        pytest.skip(f"{_name} is not installed", allow_module_level=True)

PATIENCE: Final = 120  # seconds
ALONE: Final = ("-m", "analyzer", "fleet", "check", "--workers", "0")


class Store:
    """A store, spoken to without a client: what is in it, and what a client needs to find it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.env = {
            "AWS_ENDPOINT_URL": f"http://{address}", "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip

    def asked(self, method: str, path: str, body: bytes = b"") -> bytes:
        with closing(HTTPConnection(self.address, timeout=PATIENCE)) as connection:
            connection.request(method, path, body)
            answer = connection.getresponse()
            assert answer.status == 200, (method, path, answer.status)
            return answer.read()

    def files(self, bucket: str) -> dict[str, str]:
        """Return what is in a bucket, with the MD5 of each."""
        listed = self.asked("GET", f"/{bucket}?list-type=2").decode()
        return dict(re.findall("<Key>(.*?)</Key>.*?<ETag>(.*?)</ETag>", listed, re.DOTALL))

    def ran(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Python in a process of its own: no client is left open in this one."""
        return subprocess.run(
            [sys.executable, *words], cwd=ROOT, env=environment(**self.env),
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    log = tmp_path / "moto"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with (
        log.open("w") as out,
        subprocess.Popen(
            command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        ) as server,
    ):
        try:
            yield Store(_address(server, log))
        finally:
            server.kill()


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + PATIENCE
    while not (found := re.search(r"Running on http://([\d.:]+)", log.read_text())):
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < until, "no server came up"
        time.sleep(0.1)
    return found[1]


def test_two_workers_of_which_one_is_killed_find_in_a_store_what_one_process_finds(
    store: Store, tmp_path: Path
) -> None:
    for bucket in ("raw", "serial", "spread"):
        store.asked("PUT", f"/{bucket}")
    for number in range(30):
        path = tmp_path / f"{number}.crz"
        made = later() if number % 3 else machine()
        saved(path, made, number % 5, number // 5)
        store.asked("PUT", f"/raw/{number % 5}/{number}.crz", path.read_bytes())
    store.asked("PUT", "/raw/bad.crz", b"x")
    alone = store.ran(*ALONE, "s3://raw", "-o", "s3://serial")
    assert alone.stdout == "31 of 31 snapshots are new: 30 with leaks, 1 unread\n", alone.stderr
    both = store.ran("-c", KILLS, "s3://raw", "s3://spread")
    assert (both.returncode, both.stdout) == (0, "31\n"), both.stderr
    assert store.files("spread") == store.files("serial")
    assert len(store.files("spread")) == 2 * 31, "rows of each, and that it was seen"
    again = store.ran(*ALONE, "s3://raw", "-o", "s3://spread")
    assert again.stdout == "0 of 31 snapshots are new\n", again.stderr
    told = store.ran("-m", "analyzer", "fleet", "report", "s3://spread")
    assert told.stdout.startswith("2 signatures that decide, on 5 hosts\n"), told.stderr


def test_a_store_without_rights_is_not_permitted(store: Store) -> None:
    for bucket in ("raw", "out"):
        store.asked("PUT", f"/{bucket}")
    nowhere = store.ran(*ALONE, "s3://raw", "-o", "s3://out")
    assert (nowhere.returncode, nowhere.stderr) == (
        2, "cranalyze: no snapshot (*.crz) is at s3://raw\n",
    )  # fmt: skip
    store.asked("POST", "/moto-api/reset-auth", b"0")  # from now on it asks who is there
    ran = store.ran(*ALONE, "s3://raw", "-o", "s3://out")
    assert (ran.returncode, ran.stdout) == (4, "")
    assert ran.stderr == "cranalyze: cannot look into s3://raw: no permission\n"
