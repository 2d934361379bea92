//! Text to a checked configuration: TOML, then environment, then flags.
//!
//! `examples/lobtape.toml` documents every key. This room checks the *shape* of what is asked for; whether a venue
//! exists, lists a symbol or has a channel is `engine::plan`'s business, because this room must not know any venue.
//!
//! Order of precedence: flags (`--set capture.wait=spin`) over environment (`LOBTAPE_CAPTURE_WAIT=spin`) over the file.

mod check;
mod error;
mod places;
mod raw;
mod rule;
mod text;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::model::Tuning;

pub use check::fits_a_day;
pub use error::{ConfigError, nearest};
pub use places::Places;
pub use rule::{Patterns, SymbolRule};
pub use text::{Duration, Size};

/// Tables of the dataset that `keep` may name.
pub use raw::KEEP_TABLES;

/// A checked configuration. Two that are equal capture the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// Where the data goes and how it is cut.
    pub dataset: Dataset,
    /// How it is captured.
    pub capture: Capture,
    /// Where status is served; `None` = not at all.
    pub http: Option<Http>,
    /// Whom to trust besides the built-in roots.
    pub tls: Tls,
    /// Proxy for all outgoing connections, `host:port`; reached in the clear, TLS goes through it by `CONNECT`.
    pub proxy: Option<String>,
    /// What to capture, in the file's order; never empty, ids are unique.
    pub venues: Vec<VenueConfig>,
}

/// `[dataset]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dataset {
    /// The dataset's directory; created if it is not there.
    pub path: PathBuf,
    /// Length of an interval, ns; divides a UTC day.
    pub interval_ns: i64,
    /// Bucket of `book_top`, ns; 0 = every change.
    pub book_top_interval_ns: i64,
    /// Table → age in ns at which its published days go; tables not named stay for ever.
    pub keep: BTreeMap<String, i64>,
    /// Bytes of published files above which the oldest day goes; `None` = no limit.
    pub max_size: Option<u64>,
}

/// How a reader thread waits for its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// Sleeps in the kernel.
    Epoll,
    /// Burns its core.
    Spin,
}

/// `[capture]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Capture {
    /// Raw CPU ids for reader threads; empty = one thread, not pinned.
    pub cores: Vec<usize>,
    /// How a reader waits.
    pub wait: Wait,
    /// Bytes of a lane's raw ring; a power of two.
    pub ring_size: u64,
    /// Bytes of a journal segment.
    pub segment_size: u64,
    /// Bytes of rows that the converter may hold before it flushes a row group.
    pub converter_memory: u64,
    /// Bytes of disk held back for when it is full; 0 = none, and nothing is given up before it is.
    pub disk_reserve: u64,
    /// Where the raw rings lie; `None` = `$RUNTIME_DIRECTORY`, else `/dev/shm`, else the dataset's `_journal/`.
    pub runtime_dir: Option<PathBuf>,
    /// Where journal segments go when the dataset's disk fails.
    pub fallback_dir: Option<PathBuf>,
    /// Added to the wall clock, ns. For tests of midnight and interval boundaries.
    pub wall_offset_ns: i64,
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Http {
    /// A loopback address; port 0 = any free one.
    pub listen: SocketAddr,
}

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Default, Serialize)]
pub struct Tls {
    /// PEM file of further certificate authorities (a test CA, a corporate proxy). Verification is never off.
    pub ca: Option<PathBuf>,
}

/// `[[venue]]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VenueConfig {
    /// Slug (`aster-futures`); not checked against the registry here.
    pub id: String,
    /// The venue's symbols; empty if all channels are all-market ones, or if `rule` chooses them.
    pub symbols: Vec<String>,
    /// Which of the listed symbols are wanted; `None`: those of `symbols`.
    pub rule: Option<SymbolRule>,
    /// The venue's own stream names without the symbol; all-market ones begin with `!`.
    pub channels: Vec<String>,
    /// What is asked for by REST again and again, by name, with how often in ns; names among the channels have the venue's
    /// own pace.
    pub polls: BTreeMap<String, i64>,
    /// Trades that a gap has lost are asked for by REST, where the venue has them.
    pub backfill: bool,
    /// Connections that carry the same streams: 1 or 2.
    pub legs: u8,
    /// REST base instead of the venue's own, without a trailing slash.
    pub rest: Option<String>,
    /// WebSocket base instead of the venue's own, without a trailing slash.
    pub ws: Option<String>,
    /// Symbols that the venue does not list are left out with a warning instead of refused.
    pub allow_missing: bool,
    /// Share of the venue's REST budget that we use, above 0 and at most 1.
    pub rest_weight_share: f64,
    /// Age at which a connection is replaced, ns; `None` = the venue's own figure.
    pub rotate_after_ns: Option<i64>,
    /// A stream that brought nothing for so long is looked into, ns; 0 = never.
    pub silent_after_ns: i64,
    /// How often the venue's instrument list is asked for, ns; `None` = the venue's own figure.
    pub list_every_ns: Option<i64>,
    /// Each proven book is held against a snapshot once in so much time, ns; 0 = never.
    pub audit_every_ns: i64,
    /// What the venue's ids can prove, where nobody knows: `strict`, `sparse` or `learn`; not checked here.
    pub id_policy: Option<String>,
    /// File with the user's key and secret, for venues that want requests signed; only its owner may read it.
    pub key_file: Option<PathBuf>,
    /// What is said of the venue instead of what its folder says; not checked against the venue here.
    pub tuning: Tuning,
    /// Where in the file all this is written.
    #[serde(skip)]
    pub places: Places,
}

impl Config {
    /// Reads a file and lays the process's environment and `flags` (`key=value`, dotted keys) over it.
    ///
    /// # Errors
    /// [`ConfigError`] that names file and line, variable or flag, and what to do.
    pub fn load(path: &Path, flags: &[String]) -> Result<Config, ConfigError> {
        let name = path.display().to_string();
        let bytes =
            std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let text = String::from_utf8(bytes).map_err(|e| ConfigError::no_text(&name, &e))?;
        Config::from_parts(&name, &text, std::env::vars_os(), flags)
    }

    /// The same from parts; `name` stands for the file in errors. Variables that are not UTF-8 or not ours are ignored.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_parts(
        name: &str,
        text: &str,
        env: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
        flags: &[String],
    ) -> Result<Config, ConfigError> {
        let mut raw = raw::Raw::parse(name, text)?;
        for (key, value) in env {
            if let (Some(key), Some(value)) = (key.to_str(), value.to_str())
                && let Some(over) = raw::Raw::from_env(key, value)?
            {
                raw = over.over(raw);
            }
        }
        for flag in flags {
            raw = raw::Raw::from_flag(flag)?.over(raw);
        }
        check::check(raw, name, text)
    }

    /// Keys that differ in `new` and that a running capture cannot change, in the file's words. Of `[dataset]` it can
    /// change `keep` and `max_size`; of `[[venue]]` see [`VenueConfig::fixed_differences`].
    pub fn fixed_differences(&self, new: &Config) -> Vec<String> {
        let mut found = Vec::new();
        let whole = |c: &Config| serde_json::to_value(c).unwrap_or_default();
        let (old, new) = (whole(self), whole(new));
        for table in ["dataset", "capture", "http", "tls", "proxy"] {
            let (Some(a), Some(b)) = (old[table].as_object(), new[table].as_object()) else {
                if old[table] != new[table] {
                    found.push(table.to_owned());
                }
                continue;
            };
            for (key, _) in a.iter().filter(|(k, v)| b.get(*k) != Some(v)) {
                if !(table == "dataset" && ["keep", "max_size"].contains(&key.as_str())) {
                    found.push(format!("{table}.{}", key.trim_end_matches("_ns")));
                }
            }
        }
        found
    }

    /// SHA-256 of what was resolved, hex: two files that differ in comments only have the same.
    pub fn sha256(&self) -> String {
        // Infallible: all keys are strings and the floats are finite.
        let json = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(&json).iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl VenueConfig {
    /// Keys that differ in `new` and that a running capture cannot change.
    pub fn fixed_differences(&self, new: &VenueConfig) -> Vec<&'static str> {
        [
            ("rest", self.rest == new.rest),
            ("ws", self.ws == new.ws),
            ("rest_weight_share", self.rest_weight_share == new.rest_weight_share),
            ("key_file", self.key_file == new.key_file),
        ]
        .into_iter()
        .filter_map(|(key, same)| (!same).then_some(key))
        .chain(self.tuning.differences(&new.tuning))
        .collect()
    }
}

#[cfg(test)]
mod tests;
