//! The dataset on disk: layout, schema, manifest, Parquet written and read.
//!
//! [`schema`] says what the tables are, [`builder`] turns rows of the fold into columns, [`part`] turns columns into one
//! file, [`mod@publish`] makes files visible, [`manifest`] remembers them, [`read`] and [`raw`] give them back.
//! This room must not know where rows come from: no journal, no fold, no clock.

pub mod book_at;
pub mod builder;
mod columns;
pub mod content;
mod delta;
mod docs;
pub mod encode;
pub mod error;
#[cfg(test)]
mod fixture;
pub mod hash;
pub mod layout;
pub mod manifest;
mod mend;
pub mod name;
pub mod overview;
mod pairing;
pub mod part;
pub mod publish;
pub mod raw;
pub mod read;
mod readme;
pub mod retention;
mod rows;
#[cfg(test)]
mod sample;
pub mod schema;
mod spare;
#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use error::DatasetError;
pub use layout::Dataset;
pub use manifest::{Manifest, PartRecord};
pub use part::{ClosedPart, PartKey, PartWriter};
pub use publish::{Provenance, PublishReport, publish};
pub use rows::{raw_flags, record_flags};
pub use schema::{Level, Table, TableSpec};
