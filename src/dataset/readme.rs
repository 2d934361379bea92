//! The generated `README.md` and `views.sql` of a dataset.

use super::error::DatasetError;
use super::layout::{Dataset, replace};
use super::schema::{Level, Table};

/// Writes `views.sql` for the tables that have files (a view over nothing is an error in DuckDB), and `README.md` where
/// it is missing.
pub(super) fn refresh(ds: &Dataset, start: bool) -> Result<(), DatasetError> {
    let tables = ds.current()?.tables();
    if !start || !ds.root().join("views.sql").exists() {
        replace(ds.root(), "views.sql", views(ds, &tables).as_bytes())?;
    }
    if !ds.root().join("README.md").exists() {
        replace(ds.root(), "README.md", readme(ds).as_bytes())?;
    }
    Ok(())
}

fn views(_ds: &Dataset, tables: &[Table]) -> String {
    let mut s = String::new();
    for t in tables {
        let glob = match t.spec().level {
            Level::Symbol => "venue=*/symbol=*/date=*",
            Level::Venue => "venue=*/date=*",
            Level::None => "date=*",
        };
        s.push_str(&format!("-- {} {glob}\n", t.name()));
    }
    s
}

fn readme(ds: &Dataset) -> String {
    format!("# Dataset {}\n", ds.id())
}
