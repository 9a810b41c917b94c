"""The page of fleets: snapshots of many machines, and the rows that are kept of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.fleet import check, engine, plots, rows, summary
from analyzer.writers import export
from scripts.docs import markdown as md
from scripts.docs.columns import described

if TYPE_CHECKING:
    from collections.abc import Iterator


def fleet_page() -> str:
    """Return docs/fleet.md."""
    return md.page(_parts())


def _parts() -> Iterator[str]:
    yield "# Many machines"
    yield md.NOTE
    yield (
        "`cranalyze fleet check URL -o URL` checks every snapshot (`*.crz`) that a folder, a "
        "pattern or a file names, with the rules `modern` and the options of `cranalyze check`, "
        "and keeps what was found. It needs the extra `[fleet]`; the URLs are those of fsspec "
        "(`s3://`, `gs://`, `abfs://`, ...: install s3fs, gcsfs, adlfs, which find your "
        "credentials as they always do). As root it gives up all capabilities first."
    )
    yield md.docstring(check.__doc__)
    yield "## How snapshots get there"
    yield (
        "[deploy/](../deploy) has what takes them. For systemd, a service and a timer (`systemd/`, "
        "into `/etc/systemd/system`; `cranalyze.tmpfiles.conf` goes into `/etc/tmpfiles.d`): each "
        "hour one of the whole host, in `/var/lib/cranalyze`, from where they are copied as "
        "everything else is. For Kubernetes, a DaemonSet that does so on every node, and a CronJob "
        "that checks them (`kubernetes/`); they need two volumes, `cranalyze-snapshots` "
        "(ReadWriteMany) and `cranalyze-fleet`, and an image (`Containerfile`). Who reads has "
        "CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE, and nothing of the node's files; who checks has "
        "no privileges."
    )
    yield (
        "Of a container that docker, podman or crictl lists, `collect` keeps the image; without "
        "these commands (in the DaemonSet, say) a container is told by its first process. What "
        "`collect --redact` hashes joins within one boot of a host; with `--redact-key FILE`, of "
        "which all hosts have a copy (`openssl rand -hex 32`, mode 600: a credential of systemd, a "
        "Secret of Kubernetes), within the fleet. The key is in no snapshot."
    )
    yield "## Who does the work"
    yield md.docstring(engine.__doc__)
    yield (
        "`--workers N` says how many (one for each processor), `--workers 0` that this process "
        "does it alone, without Dask. `--scheduler ADDRESS` hands the same tasks to a cluster "
        "that is there, as Dask starts one over SSH, SLURM or Kubernetes; its workers need "
        "cranalyze of the same version, and to see both places. A scheduler behind TLS is "
        "reached with Dask's own settings (`DASK_DISTRIBUTED__COMM__TLS__...`)."
    )
    yield (
        "It exits with 0 when every snapshot has its rows, those that could not be read too; with "
        "2 when there is no snapshot, no scheduler or no room, and with 4 without rights. What "
        "was kept by then stays, and is not done again."
    )
    yield "## What is kept"
    yield md.docstring(rows.__doc__)
    yield described(export.KEYS)
    yield described(rows.RESULTS.columns)
    yield (
        "`date` (of UTC) and `host` are in the path only. Two hosts of one name differ in "
        "`boot_id`, and overwrite nothing of each other."
    )
    yield "## What a fleet has in common"
    yield (
        "`cranalyze fleet report URL` tells of the results the troubles that decide, the most "
        "common first: on which hosts each is, and when it was first and last seen. `--since "
        "2026-11-01` tells only what was not seen before that day; `--all` also what is by design "
        "or code that is mapped, and every host and file; `--json` all of it (`cranalyze schema "
        "fleet`); `--html FILE` a page with hosts by signature, and signatures over time. It exits "
        "with 0 whatever was found. `cranalyze fleet plot URL -o FILE` draws both, as png, svg or "
        "pdf (with the extra `[plot]` too):"
    )
    yield md.table(
        ["kind", "what it draws"],
        [[f"`{name}`", plot.summary] for name, plot in plots.PLOTS.items()],
    )
    yield md.docstring(summary.__doc__)
    yield "## DuckDB"
    yield "The queries are run by the tests."
    for about, query in RECIPES.items():
        yield f"{about}:"
        yield md.block("sql", query.strip().splitlines())


RECIPES: Final = {
    "Once, for the others": """
CREATE VIEW fleet AS SELECT * FROM read_parquet('fleet/date=*/**/*.parquet',
    hive_partitioning = true, hive_types = {'date': DATE, 'host': VARCHAR});
""",
    "What leaks, on how many hosts, and since when": """
SELECT kind, folded, holders, workload, association, count(DISTINCT host) AS hosts,
       min(collected_at) AS first, max(collected_at) AS last
FROM fleet WHERE row IN ('leak', 'crossing') AND gates AND bundle IS DISTINCT FROM 'code'
GROUP BY ALL ORDER BY hosts DESC, first;
""",
    "Which image leaks, of which versions": """
SELECT regexp_replace(image, '[:@][^/]*$', '') AS repository, list(DISTINCT image) AS versions,
       count(DISTINCT signature) AS signatures, count(DISTINCT host) AS hosts
FROM fleet WHERE row IN ('leak', 'crossing') AND gates AND image IS NOT NULL
GROUP BY ALL ORDER BY hosts DESC;
""",
    "What is new since a day": """
SELECT kind, folded, holders, min(collected_at) AS first
FROM fleet WHERE row IN ('leak', 'crossing') AND gates
GROUP BY kind, folded, holders, signature
HAVING min(collected_at) >= TIMESTAMPTZ '2026-11-01 00:00:00+00' ORDER BY first;
""",
    "What one host alone has": """
SELECT any_value(host) AS host, kind, folded, holders FROM fleet
WHERE row IN ('leak', 'crossing') AND gates
GROUP BY kind, folded, holders, signature HAVING count(DISTINCT host) = 1;
""",
    "What could not be read, and why": """
SELECT source_url, words FROM fleet WHERE row = 'unread';
""",
}
"""Queries of the results, by what they answer."""
