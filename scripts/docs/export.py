"""The page of the exported tables."""

from __future__ import annotations

from typing import Final

from analyzer.writers import export
from scripts.docs import markdown as md
from scripts.docs.columns import described


def export_page() -> str:
    """Return docs/export.md."""
    parts = [md.NOTE, "# Exported tables", md.prose(export.__doc__)]
    parts += ["## every table starts with", described(export.KEYS)]
    for schema in (export.SNAPSHOTS, export.CHECKS, export.VERDICTS):
        parts += [f"## {schema.name}", described(schema.columns)]
    parts += ["The other tables are in [columns.md](columns.md).", RECIPES.rstrip()]
    return md.page(parts)


RECIPES: Final = """\
## DuckDB

```sql
-- cranalyze export *.crz --parquet fleet
CREATE VIEW verdicts AS
  SELECT * FROM read_parquet('fleet/verdicts/**/*.parquet', hive_partitioning = true);

-- what leaks where, without what every host has
SELECT host, kind, name, count(*) AS times, any_value(held_outside) AS held_by
FROM verdicts
WHERE verdict = 'usage_leak' AND bundle NOT IN ('host', 'code', 'stdio')
GROUP BY ALL ORDER BY times DESC;

-- which checks could not be decided, and what could not be read
SELECT c.host, c.pid, c.comm, g."where", g.effect
FROM read_parquet('fleet/checks/**/*.parquet', hive_partitioning = true) c
JOIN read_parquet('fleet/gaps/**/*.parquet') g USING (snapshot)
WHERE c.status = 'undecided';

-- who holds object 7 of one snapshot
SELECT r.* FROM read_parquet('fleet/references/**/*.parquet') r
WHERE r.snapshot = '20260101T120000Z-4711-0a1b2c3d' AND r.target = 7;
```

CSV is read the same way: `read_csv('tables/verdicts/**/*.csv', hive_partitioning = true)`. A host
whose name looks like a number is read as one, unless `hive_types = {'host': VARCHAR}` is given.

## pandas, Spark

```python
import pandas as pd

verdicts = pd.read_parquet("fleet/verdicts", dtype_backend="pyarrow")
```

```python
verdicts = spark.read.parquet("fleet/verdicts")  # date and host are columns
```
"""
