"""The page of the numbers for Prometheus, from their families, with a timer that writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.writers import prometheus
from scripts.docs import markdown as md

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE: Final = """[Unit]
Description=Check all containers, and keep the numbers for node_exporter

[Service]
Type=oneshot
ExecStart=/usr/local/bin/cranalyze check --all-containers --quiet \\
    --prometheus /var/lib/prometheus/node-exporter/cranalyze.prom
# 16 is a leak, 3 that something was not decided: both are in the file
SuccessExitStatus=3 16
CapabilityBoundingSet=CAP_BPF CAP_PERFMON CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE \\
    CAP_CHOWN CAP_FOWNER CAP_SETPCAP
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/var/lib/prometheus/node-exporter
RuntimeDirectory=cranalyze
RuntimeDirectoryPreserve=yes
"""
TIMER: Final = """[Unit]
Description=Check all containers every five minutes

[Timer]
OnBootSec=2min
OnUnitActiveSec=5min
RandomizedDelaySec=30s

[Install]
WantedBy=timers.target
"""
ALERTS: Final = """groups:
  - name: cranalyze
    rules:
      - alert: ContainerLeaks
        expr: sum by (instance, subject, impact) (cranalyze_leaks{decides="yes"}) > 0
        for: 15m
      - alert: CranalyzeIsOld
        expr: time() - cranalyze_last_read_timestamp_seconds > 900
"""


def prometheus_page() -> str:
    """Return docs/prometheus.md."""
    return md.page(_parts())


def _parts() -> Iterator[str]:
    yield "# Numbers for Prometheus"
    yield md.NOTE
    yield md.docstring(prometheus.__doc__)
    yield (
        "`cranalyze check SUBJECT --prometheus FILE` and `watch SUBJECT --prometheus FILE` write "
        "it besides what they print (`--quiet`: nothing), `check --all-containers` with all "
        "containers in one file. It is written beside FILE and renamed, so that no half of it is "
        "ever read, and is everybody's to read. It is replaced each time; a FILE that was not "
        "written so is refused. A check that fails leaves it as it is: that is what "
        "`cranalyze_last_read_timestamp_seconds` is for."
    )
    rows = [
        (f"`{one.name}`", one.type, ", ".join(f"`{label}`" for label in one.labels), one.help)
        for one in prometheus.FAMILIES
    ]
    yield md.table(("name", "type", "labels besides `subject`", "what it is"), rows)
    yield "## A timer of systemd"
    yield "`/etc/systemd/system/cranalyze.service`:"
    yield md.block("ini", SERVICE.splitlines())
    yield "`/etc/systemd/system/cranalyze.timer`:"
    yield md.block("ini", TIMER.splitlines())
    yield (
        "`systemctl enable --now cranalyze.timer` starts it; node_exporter is told the folder by "
        "`--collector.textfile.directory=/var/lib/prometheus/node-exporter`. The names of "
        "containers are asked of their runtimes' own commands, which may need more than these "
        "capabilities; without them the ids are told."
    )
    yield "## Alerts"
    yield md.block("yaml", ALERTS.splitlines())
