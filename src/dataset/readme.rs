//! The generated `README.md` and `views.sql` of a dataset.

use std::path::Path;

use super::error::DatasetError;
use super::layout::{Dataset, replace};
use super::schema::{Level, Table};

/// Writes `README.md`, and `views.sql` for the tables that have files (a view over nothing is an error in DuckDB); at the
/// `start` of a writer too where they are not what they would be now: the directory may have moved, or an older version
/// wrote them.
pub(super) fn refresh(ds: &Dataset, start: bool) -> Result<(), DatasetError> {
    let tables = ds.current()?.tables();
    let path = std::path::absolute(ds.root()).unwrap_or_else(|_| ds.root().to_owned());
    let views = views(&path, &tables);
    let same = start && std::fs::read_to_string(ds.root().join("views.sql")).is_ok_and(|old| old == views);
    if !same {
        replace(ds.root(), "views.sql", views.as_bytes())?;
    }
    let there = std::fs::read_to_string(ds.root().join("README.md"));
    let text = readme(&path, ds.id());
    if there.as_ref().map_or(true, |old| start && *old != text) {
        replace(ds.root(), "README.md", text.as_bytes())?;
    }
    Ok(())
}

fn folder_name(path: &Path) -> String {
    path.file_name().map_or_else(|| "data".to_owned(), |n| n.to_string_lossy().into_owned())
}

/// The glob of a table's files below the dataset's directory.
fn glob(table: Table) -> String {
    let keys = match table.spec().level {
        Level::Symbol => "venue=*/symbol=*/date=*",
        Level::Venue => "venue=*/date=*",
        Level::None => "date=*",
    };
    format!("v1/{}/{keys}/*.parquet", table.name())
}

/// A path as part of a glob that fits nothing else. DuckDB and Polars both know classes, and nothing else that would do.
fn literal(path: &str) -> String {
    let mut s = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '*' | '?' | '[' => s.extend(['[', c, ']']),
            c => s.push(c),
        }
    }
    s
}

fn views(path: &Path, tables: &[Table]) -> String {
    let quote = |s: &str| literal(s).replace('\'', "''");
    let shown = folder_name(path);
    let name = quote(&shown);
    let path = quote(&path.display().to_string());
    let mut s = format!(
        "-- DuckDB views of this dataset, one per table. Works from any directory:\n\
         --   duckdb -init {shown}/views.sql\n\
         -- After the dataset was moved: inside it; from the directory above it if it still has its name ({shown}).\n\
         SET VARIABLE lobtape_dataset = (SELECT min_by(place, i) FROM (\n    \
             SELECT 1 AS i, '{path}' AS place FROM glob('{path}/LOBTAPE')\n    \
             UNION ALL SELECT 2, '{name}' FROM glob('{name}/LOBTAPE')\n    \
             UNION ALL SELECT 3, '.' FROM glob('LOBTAPE')));\n"
    );
    for t in tables {
        let types = match t.spec().level {
            Level::Symbol => "'venue': VARCHAR, 'symbol': VARCHAR, 'date': DATE",
            Level::Venue => "'venue': VARCHAR, 'date': DATE",
            Level::None => "'date': DATE",
        };
        s.push_str(&format!(
            "CREATE OR REPLACE VIEW {} AS SELECT * FROM read_parquet(getvariable('lobtape_dataset') || '/{}', \
             hive_partitioning = true, hive_types = {{{types}}});\n",
            t.name(),
            glob(*t)
        ));
    }
    s
}

/// A text as part of a Python string that takes variables.
fn python(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('{', "{{").replace('}', "}}")
}

fn readme(path: &Path, id: &str) -> String {
    let name = folder_name(path);
    let python = python(&literal(&name));
    let tables = super::docs::markdown();
    format!(
        r#"# A Lobtape dataset

Order books and trades as recorded by Lobtape, plain Parquet, partitioned by folders. Dataset id {id}.
This file and `views.sql` are generated, and written anew when a newer version records here: keep notes elsewhere.

```text
v1/<table>/venue=…/symbol=…/date=…/part-<interval start>-<lane>-<n>.parquet
v1/_manifest/    what is published, with hashes          views.sql    DuckDB views
_journal/ _tmp/  live data: not for reading
```

Tables, columns, flags and causes of gaps stand below.

- Times (`ts_*`) are int64, ns since the Unix epoch, UTC; 0 = not given. Ids are int64; −1 = not given. Missing prices and sizes are null, missing texts "".
- `venue`, `symbol` and `date` (UTC day of `ts_recv`) stand in the path only. In the file stands `instrument` = `"<venue>:<symbol>"`: join on it.
- Symbols of digits only are read as numbers unless the types of the path are given, as below.
- Prices and sizes are the doubles nearest to the venue's text: `price == 61800.2` and GROUP BY price are exact.
- The book at a time T: of the rows of `book_delta` with `ts_recv <= T`, those of the greatest `book_epoch`; of each `(side, price)` the last `size`
  by `row`; of these, sizes above 0. Each file opens with the whole book, so the day's files up to T are enough. Inside a gap the book is empty.
- Every second of a subscribed stream stands in `coverage` or in `gaps`.
- `row` is the order of truth per instrument, table and UTC day. Never compare `ts_*` with a datetime: Polars answers, wrongly.
- In `raw`, the bits of `flags` from 2^20 on are the flags of the record itself (1 = stalled, 2 = binary message).

## Python (Polars)

```python
import polars as pl
HIVE = {{"venue": pl.String, "symbol": pl.String, "date": pl.Date}}
def scan(table, venue="*", symbol="*", date="*"):
    return pl.scan_parquet(f"{python}/v1/{{table}}/venue={{venue}}/symbol={{symbol}}/date={{date}}/*.parquet", hive_partitioning=True, hive_schema=HIVE)

# The book at T (int, ns since the epoch, UTC): empty inside a gap
d = scan("book_delta", "aster-futures", "BTCUSDT", "2026-11-20").filter(pl.col("ts_recv") <= T)
book = (d.filter(pl.col("book_epoch") == pl.col("book_epoch").max()).sort("row")
         .group_by("side", "price").agg(pl.col("size").last()).filter(pl.col("size") > 0).collect())

# Trades against the quote strictly before
q = scan("bbo").select("ts_recv", "instrument", "bid_px_00", "ask_px_00").sort("ts_recv")
tq = scan("trades").sort("ts_recv").join_asof(q, on="ts_recv", by="instrument", allow_exact_matches=False, check_sortedness=False).collect()
```

## SQL (DuckDB)

```sql
-- duckdb -init {name}/views.sql
SELECT t.*, b.bid_px_00, b.ask_px_00 FROM trades t ASOF LEFT JOIN bbo b ON t.instrument = b.instrument AND t.ts_recv > b.ts_recv;
```

## Without code

```text
lobtape ls {name}
lobtape book {name} --venue aster-futures --symbol BTCUSDT --at 2026-11-20T12:00:00Z
lobtape verify {name}
```

{tables}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands for other characters in a glob stands for itself in a class of its own, in DuckDB and in Polars.
    #[test]
    fn a_directory_whose_name_is_a_pattern_is_read_as_itself() {
        let path = Path::new("/data/it's[1]/a*b?[x]");
        let sql = views(path, &[Table::Trades]);
        let name = "a[*]b[?][[]x]";
        for line in [
            format!("'/data/it''s[[]1]/{name}' AS place FROM glob('/data/it''s[[]1]/{name}/LOBTAPE')"),
            format!("SELECT 2, '{name}' FROM glob('{name}/LOBTAPE')"),
            "read_parquet(getvariable('lobtape_dataset') || '/v1/trades/venue=*/".to_owned(),
            // For a shell and for people it is as it is.
            "--   duckdb -init a*b?[x]/views.sql\n".to_owned(),
            "still has its name (a*b?[x]).\n".to_owned(),
        ] {
            assert!(sql.contains(&line), "{line}\n{sql}");
        }
        let text = readme(path, "id");
        assert!(text.contains(&format!("scan_parquet(f\"{name}/v1/{{table}}/venue={{venue}}/")), "{text}");
        assert!(text.contains("\n-- duckdb -init a*b?[x]/views.sql\n"), "{text}");
        assert!(text.contains("\nlobtape verify a*b?[x]\n"), "{text}");
    }

    /// In a Python string that takes variables some characters mean something else than themselves.
    #[test]
    fn a_directory_s_name_is_written_as_python_and_sql_read_it() {
        let text = readme(Path::new("/data/a{b}\"c\\d"), "id");
        assert!(text.contains(r#"scan_parquet(f"a{{b}}\"c\\d/v1/{table}/"#), "{text}");
        let plain = Path::new("/data/lobtape-demo");
        assert!(readme(plain, "id").contains("scan_parquet(f\"lobtape-demo/v1/"));
        assert!(views(plain, &[]).contains(
            "SELECT 1 AS i, '/data/lobtape-demo' AS place FROM glob('/data/lobtape-demo/LOBTAPE')"
        ));
    }
}
