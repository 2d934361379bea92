//! What a researcher opens: layout, schemas, row builders, Parquet, manifest, publication, retention.
