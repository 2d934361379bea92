"""Holds what plain readers say of a dataset against DATASET.md and `lobtape book`. Run by scripts/readers."""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import dask
import dask.dataframe as dd
import datafusion
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

SCHEMAS = Path(__file__).resolve().parent.parent / "schemas" / "v1"
HIVE = {"venue": pl.String, "symbol": pl.String, "date": pl.Date}
CARRIED, CLEAR, REPLAYED, LAST = 256, 131072, 65536, 128

failures = []


def check(truth, what):
    if not truth:
        failures.append(what)
        print(f"  FAILED {what}", flush=True)
    return bool(truth)


class Table:
    """One table of the dataset and what its golden file says of it."""

    def __init__(self, root, golden):
        self.root = root
        self.name = golden["table"]
        self.keys = golden["partitioned_by"]
        self.columns = {c["name"]: c for c in golden["columns"]}
        self.dir = root / "v1" / self.name
        self.glob = str(self.dir / "/".join(f"{k}=*" for k in self.keys) / "*.parquet")
        self.files = sorted(self.dir.rglob("*.parquet")) if self.dir.exists() else []
        self.rows = sum(pq.read_metadata(f).num_rows for f in self.files)

    def hive(self):
        return {k: HIVE[k] for k in self.keys}


ARROW = {
    "int64": pa.int64(),
    "int32": pa.int32(),
    "float64": pa.float64(),
    "dictionary<int32,string>": pa.dictionary(pa.int32(), pa.string()),
    "bool": pa.bool_(),
    "binary": pa.binary(),
}
PANDAS = {
    "int64": {"int64"},
    "int32": {"int32"},
    "float64": {"float64"},
    "dictionary<int32,string>": {"category"},
    "bool": {"bool"},
    "binary": {"object", "bytes"},
}
POLARS = {
    "int64": {pl.Int64},
    "int32": {pl.Int32},
    "float64": {pl.Float64},
    "dictionary<int32,string>": {pl.Categorical, pl.Enum},
    "bool": {pl.Boolean},
    "binary": {pl.Binary},
}
DUCKDB = {
    "int64": {"BIGINT"},
    "int32": {"INTEGER"},
    "float64": {"DOUBLE"},
    "dictionary<int32,string>": {"VARCHAR"},
    "bool": {"BOOLEAN"},
    "binary": {"BLOB"},
}
DATAFUSION = {
    "int64": {"int64"},
    "int32": {"int32"},
    "float64": {"double"},
    "dictionary<int32,string>": {"dictionary<values=string, indices=int32, ordered=0>"},
    "bool": {"bool"},
    "binary": {"binary", "binary_view"},
}


def each_type(t, reader, types, of):
    for name, spec in t.columns.items():
        got = of(name)
        check(got in types[spec["type"]], f"{reader}: {t.name}.{name} is {got}, documented {spec['type']}")


def arrow_files(t):
    """What stands in the files: exact types, nothing null that must not be, no key of the path."""
    for f in t.files:
        schema = pq.read_schema(f)
        check(schema.names == list(t.columns), f"{f}: columns {schema.names}")
        for name, spec in t.columns.items():
            field = schema.field(name)
            check(field.type == ARROW[spec["type"]], f"{f}: {name} is {field.type}")
            check(field.nullable == spec["nullable"], f"{f}: {name} nullable {field.nullable}")
        meta = pq.read_metadata(f).metadata
        for k in ("schema_version", "writer", "price_exp", "size_exp", "rules_version", "rows_sha256"):
            check(k.encode() in meta, f"{f}: no {k} in the footer")
        data = pq.read_table(f, partitioning=None)
        for name in t.columns:
            column = data[name]
            if pa.types.is_floating(column.type):
                nan = pa.compute.sum(pa.compute.is_nan(column)).as_py() or 0
                check(nan == 0, f"{f}: {name} has NaN")


def pandas_reads(t):
    whole = pd.read_parquet(t.dir)
    check(len(whole) == t.rows, f"pandas: {t.name} has {len(whole)} rows, files say {t.rows}")
    each_type(t, "pandas", PANDAS, lambda n: str(whole[n].dtype))
    for k in t.keys:
        check(k in whole, f"pandas: {t.name} has no {k}")
    return whole


def polars_reads(t):
    lazy = pl.scan_parquet(t.glob, hive_partitioning=True, hive_schema=t.hive())
    schema = lazy.collect_schema()
    n = lazy.select(pl.len()).collect().item()
    check(n == t.rows, f"Polars: {t.name} has {n} rows, files say {t.rows}")
    each_type(t, "Polars", {k: v for k, v in POLARS.items()}, lambda n: schema[n].base_type())
    for k in t.keys:
        check(schema[k] == HIVE[k], f"Polars: {t.name}.{k} is {schema[k]}")
    check(lazy.collect().height == t.rows, f"Polars: {t.name} read whole")


def duckdb_reads(t, con):
    types = dict((r[0], r[1]) for r in con.execute(f"DESCRIBE {t.name}").fetchall())
    n = con.execute(f"SELECT count(*) FROM {t.name}").fetchall()[0][0]
    check(n == t.rows, f"DuckDB: {t.name} has {n} rows, files say {t.rows}")
    each_type(t, "DuckDB", DUCKDB, lambda n: types.get(n))
    for k in t.keys:
        want = "DATE" if k == "date" else "VARCHAR"
        check(types.get(k) == want, f"DuckDB: {t.name}.{k} is {types.get(k)}")
    check(len(con.execute(f"SELECT * FROM {t.name}").fetchall()) == t.rows, f"DuckDB: {t.name} read whole")
    plain = con.execute(f"SELECT count(*) FROM read_parquet('{quoted(t.glob)}', hive_partitioning=true)").fetchall()
    check(plain[0][0] == t.rows, f"DuckDB: plain read_parquet of {t.name}")


def quoted(text):
    return str(text).replace("'", "''")


def pyarrow_reads(t):
    ds = pads.dataset(t.dir, format="parquet", partitioning="hive")
    table = ds.to_table()
    check(table.num_rows == t.rows, f"pyarrow: {t.name} has {table.num_rows} rows, files say {t.rows}")
    for name, spec in t.columns.items():
        got = table.schema.field(name).type
        check(got == ARROW[spec["type"]], f"pyarrow: {t.name}.{name} is {got}")
    for k in t.keys:
        check(k in table.schema.names, f"pyarrow: {t.name} has no {k}")


def dask_reads(t):
    df = dd.read_parquet(str(t.dir))
    check(len(df) == t.rows, f"Dask: {t.name} has {len(df)} rows, files say {t.rows}")
    whole = df.compute()
    each_type(t, "Dask", PANDAS, lambda n: str(whole[n].dtype))


def datafusion_reads(t):
    ctx = datafusion.SessionContext()
    keys = [(k, pa.string()) for k in t.keys]
    ctx.register_parquet(t.name, str(t.dir) + "/", table_partition_cols=keys)
    n = ctx.sql(f"SELECT count(*) AS n FROM {t.name}").to_pydict()["n"][0]
    check(n == t.rows, f"DataFusion: {t.name} has {n} rows, files say {t.rows}")
    schema = ctx.sql(f"SELECT * FROM {t.name} LIMIT 0").schema()
    each_type(t, "DataFusion", DATAFUSION, lambda n: str(schema.field(n).type))
    got = sum(b.num_rows for b in ctx.sql(f"SELECT * FROM {t.name}").collect())
    check(got == t.rows, f"DataFusion: {t.name} read whole")


def order_of_truth(t):
    """`row` rises by one per instrument and day; `ts_recv` does not fall except where it says so."""
    if "symbol" not in t.keys or not t.rows:
        return
    d = pl.scan_parquet(t.glob, hive_partitioning=True, hive_schema=t.hive())
    d = d.select("instrument", "date", "row", "ts_recv", "flags").collect().sort("instrument", "date", "row")
    over = ["instrument", "date"]
    step = d.with_columns(s=pl.col("row").diff().over(over), dt=pl.col("ts_recv").diff().over(over))
    check(step.filter(pl.col("s").is_not_null() & (pl.col("s") < 1)).height == 0, f"{t.name}: row repeats")
    fell = step.filter((pl.col("dt") < 0) & (pl.col("flags") & 8 == 0))
    check(fell.height == 0, f"{t.name}: ts_recv falls without BAD_TS_RECV in {fell.height} rows")


def safe(text):
    return "".join(chr(b) if chr(b).isalnum() and b < 128 or chr(b) in "_-" else f"%{b:02X}" for b in text.encode())


def interesting_times(d):
    """Receive times where readers went wrong before, for one instrument and day."""
    ts = d["ts_recv"]
    times = {ts.min() - 1, ts.min(), ts.max(), ts.max() + 1}
    times |= {int(ts.quantile(q, "nearest")) for q in (0.1, 0.35, 0.5, 0.8)}
    for bit in (CLEAR, REPLAYED, CARRIED):
        marked = d.filter(pl.col("flags") & bit != 0)["ts_recv"]
        for t in marked.unique().sort()[:4].to_list():
            times |= {t - 1, t, t + 1}
    return sorted(times)


def quick_start_book(root, venue, symbol, date, T):
    """The quick start of DATASET.md, letter by letter."""

    def scan(table, venue="*", symbol="*", date="*"):
        return pl.scan_parquet(
            f"{root}/v1/{table}/venue={venue}/symbol={symbol}/date={date}/*.parquet",
            hive_partitioning=True,
            hive_schema=HIVE,
        )

    d = scan("book_delta", safe(venue), safe(symbol), date).filter(pl.col("ts_recv") <= T)
    book = (
        d.filter(pl.col("book_epoch") == pl.col("book_epoch").max())
        .sort("row")
        .group_by("side", "price")
        .agg(pl.col("size").last())
        .filter(pl.col("size") > 0)
        .collect()
    )
    bids = sorted(((p, s) for side, p, s in book.rows() if side == 1), reverse=True)
    asks = sorted((p, s) for side, p, s in book.rows() if side == -1)
    return bids, asks


def books(t, lobtape):
    if not t.rows:
        print("  no book_delta")
        return
    seen = {"gap": 0, "replayed": 0, "books": 0}
    lazy = pl.scan_parquet(t.glob, hive_partitioning=True, hive_schema=t.hive())
    names = lazy.select("venue", "symbol", "date").unique().collect().sort("venue", "symbol", "date")
    limit = 24
    for venue, symbol, date in names.rows()[:limit]:
        d = lazy.filter((pl.col("venue") == venue) & (pl.col("symbol") == symbol) & (pl.col("date") == date))
        d = d.select("ts_recv", "flags").collect()
        for T in interesting_times(d):
            day = pd.Timestamp(T, unit="ns").date()
            if day != date:
                continue
            bids, asks = quick_start_book(t.root, venue, symbol, date.isoformat(), T)
            args = [lobtape, "book", t.root, "--venue", venue, "--symbol", symbol, "--at", str(T), "--json"]
            run = subprocess.run(args, capture_output=True, text=True, check=False)
            if not check(run.returncode == 0, f"lobtape book {venue}:{symbol} at {T}: {run.stderr.strip()}"):
                continue
            ours = json.loads(run.stdout)
            same = bids == [tuple(x) for x in ours["bids"]] and asks == [tuple(x) for x in ours["asks"]]
            check(same, f"book of {venue}:{symbol} at {T}: quick start and lobtape book differ")
            if ours["in_gap"]:
                check(not bids and not asks, f"book of {venue}:{symbol} at {T} is not empty inside a gap")
                seen["gap"] += 1
            seen["books"] += bool(bids)
            seen["replayed"] += bool(ours["flags"] & REPLAYED)
    print(f"  {seen['books']} books, {seen['gap']} times inside a gap, {seen['replayed']} right after replayed diffs")
    return seen


def as_of(trades, bbo, con):
    """Every trade meets the quote strictly before it; all readers agree on which."""
    if not trades.rows or not bbo.rows:
        print("  no trades or no bbo")
        return
    def scan(t):
        return pl.scan_parquet(t.glob, hive_partitioning=True, hive_schema=t.hive())

    q = scan(bbo).select("ts_recv", "instrument", "bid_px_00", "ask_px_00").sort("ts_recv")
    tq = (
        scan(trades)
        .sort("ts_recv")
        .join_asof(q, on="ts_recv", by="instrument", allow_exact_matches=False, check_sortedness=False)
        .collect()
    )
    first = q.group_by("instrument").agg(first=pl.col("ts_recv").min()).collect()
    first = dict(zip(first["instrument"].cast(pl.String), first["first"]))
    expected = sum(
        1 for i, ts in zip(tq["instrument"].cast(pl.String), tq["ts_recv"]) if first.get(i, ts) < ts
    )
    check(tq.height == trades.rows, f"Polars as-of: {tq.height} of {trades.rows} trades")
    got = tq["ask_px_00"].is_not_null().sum()
    quotes_without_ask = scan(bbo).filter(pl.col("ask_px_00").is_null()).select(pl.len()).collect().item()
    if quotes_without_ask == 0:
        check(got == expected, f"Polars as-of: {got} trades have a quote, {expected} should")
    rows = con.execute(
        "SELECT t.instrument, t.\"row\", t.date, b.bid_px_00, b.ask_px_00 FROM trades t "
        "ASOF LEFT JOIN bbo b ON t.instrument = b.instrument AND t.ts_recv > b.ts_recv"
    ).fetchall()
    check(len(rows) == trades.rows, f"DuckDB as-of: {len(rows)} of {trades.rows} trades")
    theirs = sorted((str(i), r, str(d), b, a) for i, r, d, b, a in rows) if rows else []
    ours = tq.select(pl.col("instrument").cast(pl.String), "row", pl.col("date").cast(pl.String), "bid_px_00", "ask_px_00")
    ours = sorted(ours.rows(), key=lambda x: x[:3])
    theirs = sorted(theirs, key=lambda x: x[:3])
    # Several quotes of one instant: which of them is "the last" is open in an unsorted join.
    ties = scan(bbo).group_by("instrument", "ts_recv").len().filter(pl.col("len") > 1).collect().height
    if ties == 0:
        check(ours == theirs, "as-of: Polars and DuckDB disagree")
    print(f"  {trades.rows} trades, {got} with a quote, {ties} instants with several quotes")


def digits_only(tables):
    """A venue whose symbols are all numbers keeps them as texts where types are forced."""
    for t in tables:
        if "symbol" not in t.keys or not t.rows:
            continue
        lazy = pl.scan_parquet(t.glob, hive_partitioning=True, hive_schema=t.hive())
        pairs = lazy.select("venue", "symbol", "instrument").unique().collect()
        for venue, symbol, instrument in pairs.rows():
            check(instrument == f"{venue}:{symbol}", f"{t.name}: {instrument} lies under {venue}, {symbol}")


def views(root):
    """views.sql from above the dataset, from inside and from elsewhere; a copy is read where it stands."""
    sql = (root / "views.sql").read_text()
    place = str(root)
    if place in sql:
        # As it would be found after the dataset was moved here from another machine.
        moved = sql.replace(place, "/no/such/place/" + root.name)
        for start in (root.parent, root):
            with contextlib.chdir(start):
                try:
                    con = duckdb.connect()
                    con.execute(moved)
                    check(con.execute("SHOW TABLES").fetchall(), f"views.sql of a moved dataset in {start}")
                except duckdb.Error as e:
                    check(False, f"views.sql of a moved dataset, started in {start}: {e}")
    with tempfile.TemporaryDirectory() as elsewhere:
        for place in (root.parent, root, Path(elsewhere)):
            with contextlib.chdir(place):
                con = duckdb.connect()
                try:
                    con.execute(sql)
                    names = [r[0] for r in con.execute("SHOW TABLES").fetchall()]
                    for n in names:
                        con.execute(f"SELECT count(*) FROM {n}").fetchall()
                except duckdb.Error as e:
                    check(False, f"views.sql started in {place}: {e}")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("dataset", type=Path)
    p.add_argument("--lobtape", default="target/debug/lobtape", type=Path)
    p.add_argument("--every-table", action="store_true", help="fail where a table has no files")
    args = p.parse_args()
    root, lobtape = args.dataset.resolve(), args.lobtape.resolve()
    warnings.simplefilter("ignore")
    dask.config.set(scheduler="synchronous")
    tables = [Table(root, json.loads(f.read_text())) for f in sorted(SCHEMAS.glob("*.json"))]
    by = {t.name: t for t in tables}
    absent = [t.name for t in tables if not t.files]
    if absent:
        print(f"no files of: {', '.join(absent)}")
        check(not args.every_table, f"no files of {absent}")
    tables = [t for t in tables if t.files]
    check(tables, f"{root}: no files at all")
    os.chdir(root.parent)
    con = duckdb.connect()
    con.execute((root / "views.sql").read_text())
    readers = {
        "files": arrow_files,
        "pandas": pandas_reads,
        "Polars": polars_reads,
        "DuckDB": lambda t: duckdb_reads(t, con),
        "pyarrow": pyarrow_reads,
        "Dask": dask_reads,
        "DataFusion": datafusion_reads,
        "row order": order_of_truth,
    }
    for name, read in readers.items():
        begin = time.monotonic()
        for t in tables:
            try:
                read(t)
            except Exception as e:  # a reader that fails is a finding, and the others are still asked
                check(False, f"{name}: {t.name}: {type(e).__name__}: {e}")
        print(f"{name}: {len(tables)} tables, {time.monotonic() - begin:.1f} s", flush=True)
    print("views.sql")
    views(root)
    print("names")
    digits_only(tables)
    print("books")
    books(by["book_delta"], lobtape)
    print("as-of join")
    as_of(by["trades"], by["bbo"], con)
    print("FAILED" if failures else "all readers agree")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
