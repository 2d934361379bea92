//! The file as it is written: every key optional, so that environment and flags can be laid over it.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use toml::Spanned;

use super::error::{ConfigError, explain, nearest, nearest_is, unknown_name};
use super::rule::SymbolRule;
use super::text::{Duration, Listen, Proxy, RestBase, Size, WsBase};

/// A table of optional keys and the list of their names.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident, $keys:ident { $($key:ident: $ty:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $name { $(pub(super) $key: Option<$ty>,)* }

        /// Keys of the table, in the order of the example.
        const $keys: &[&str] = &[$(stringify!($key)),*];
    };
}

/// The same for tables that environment and flags can reach: what is set in one goes over what is set in the other.
macro_rules! layer {
    ($name:ident, $keys:ident { $($key:ident: $ty:ty),* $(,)? }) => {
        table!($name, $keys { $($key: $ty),* });

        impl $name {
            fn over(self, base: $name) -> $name {
                $name { $($key: self.$key.or(base.$key),)* }
            }
        }
    };
}

layer!(
    DatasetTable,
    DATASET_KEYS {
        path: String,
        interval: Duration,
        keep: KeepTable,
        max_size: Size,
        book_top_interval: Duration,
    }
);

layer!(CaptureTable, CAPTURE_KEYS {
    cores: Vec<u16>,
    wait: WaitWord,
    ring_size: Size,
    segment_size: Size,
    converter_memory: Size,
    disk_reserve: Size,
    runtime_dir: String,
    fallback_dir: String,
    wall_offset: Duration,
});

layer!(HttpTable, HTTP_KEYS { listen: Listen });
layer!(TlsTable, TLS_KEYS { ca: String });

table!(VenueTable, VENUE_KEYS {
    id: Spanned<String>,
    symbols: Spanned<Symbols>,
    channels: Spanned<Vec<Spanned<String>>>,
    polls: Spanned<BTreeMap<String, Spanned<Duration>>>,
    backfill: bool,
    legs: Legs,
    rest: RestBase,
    ws: WsBase,
    allow_missing: bool,
    rest_weight_share: Share,
    rotate_after: Spanned<Duration>,
    silent_after: Spanned<Duration>,
    list_every: Spanned<Duration>,
    audit_every: Spanned<Duration>,
    id_policy: Spanned<String>,
    key_file: String,
    ping_interval: Spanned<Duration>,
    pong_timeout: Spanned<Duration>,
    max_topics_per_conn: Spanned<u32>,
    max_topics_per_frame: Spanned<u32>,
    rest_budget_per_min: Spanned<u32>,
    rest_max_per_s: Spanned<u32>,
    book_topic_template: Spanned<String>,
    book_update_topic_template: Spanned<String>,
    ws_routes: Spanned<Vec<String>>,
    server_ping_reply: Spanned<String>,
    rest_auth: Spanned<String>,
});

macro_rules! keep {
    ($($table:ident),* $(,)?) => {
        table!(KeepTable, KEEP_KEYS { $($table: Duration),* });

        /// Names of the tables that `keep` may limit.
        pub const KEEP_TABLES: &[&str] = KEEP_KEYS;

        impl KeepTable {
            /// What is set, by table.
            pub(super) fn entries(&self) -> Vec<(&'static str, Duration)> {
                [$((stringify!($table), self.$table)),*]
                    .into_iter()
                    .filter_map(|(name, age)| Some((name, age?)))
                    .collect()
            }
        }
    };
}

keep!(
    raw,
    book_delta,
    book_top,
    book_partial,
    trades,
    bbo,
    mark,
    liquidations,
    tickers,
    klines,
    open_interest,
    funding,
    instruments,
    coverage,
    gaps,
    connections,
    races,
    audits,
    clock,
    latency,
    rejects,
    runs,
);

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) proxy: Option<Proxy>,
    pub(super) dataset: Option<DatasetTable>,
    pub(super) capture: Option<CaptureTable>,
    pub(super) http: Option<HttpTable>,
    pub(super) tls: Option<TlsTable>,
    pub(super) venue: Vec<Spanned<VenueTable>>,
}

/// Tables that variables and flags can reach, with their keys. `""` is the top.
const REACHABLE: &[(&str, &[&str])] = &[
    ("", &["proxy"]),
    ("dataset", DATASET_KEYS),
    ("capture", CAPTURE_KEYS),
    ("http", HTTP_KEYS),
    ("tls", TLS_KEYS),
];

/// Lists of tables: only the file can set them.
const LISTS: &[(&str, &[&str])] = &[("venue", VENUE_KEYS)];

fn of_list(list: &str, keys: &[&str]) -> String {
    format!("[[{list}]] is a list; set {} in the file", keys.join(", "))
}

/// What is said of a flag's key that stands without a table and is none of the top: the key of that name, or nearly so, with
/// its table.
fn bare_key(key: &str) -> String {
    let is_in = |keys: &[&str]| keys.contains(&key);
    let reachable = REACHABLE.iter().any(|(_, keys)| is_in(keys));
    if let Some((list, keys)) = LISTS.iter().find(|(_, keys)| !reachable && is_in(keys)) {
        return of_list(list, keys);
    }
    let all: Vec<(&str, String)> =
        REACHABLE.iter().flat_map(|(table, keys)| keys.iter().map(|k| (*k, path_of(table, k)))).collect();
    let names: Vec<&str> = all.iter().map(|(k, _)| *k).collect();
    let near = nearest(key, &names).and_then(|n| all.iter().find(|(k, _)| *k == n));
    let paths: Vec<&str> = all.iter().map(|(_, p)| p.as_str()).collect();
    // The nearest of whole paths would be the shortest one.
    near.map_or_else(String::new, |(_, path)| nearest_is("key", key, path, &paths))
}

/// A key with its table.
fn path_of(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

impl Raw {
    /// Reads the file's text.
    pub(super) fn parse(name: &str, text: &str) -> Result<Raw, ConfigError> {
        toml::from_str(text).map_err(|e| {
            let at = e.span().map_or(0, |s| s.start);
            ConfigError::at(name, text, at, explain(&e, text))
        })
    }

    /// `LOBTAPE_CAPTURE_WAIT=spin`; `None` for variables that are not about the configuration.
    pub(super) fn from_env(variable: &str, value: &str) -> Result<Option<Raw>, ConfigError> {
        let Some(rest) = variable.strip_prefix("LOBTAPE_") else { return Ok(None) };
        let rest = rest.to_ascii_lowercase();
        for (table, keys) in REACHABLE {
            let key = if table.is_empty() {
                keys.contains(&rest.as_str()).then_some(rest.as_str())
            } else {
                rest.strip_prefix(table).and_then(|r| r.strip_prefix('_'))
            };
            // A variable that begins with one of our tables means us. Others may belong to whoever started us.
            if let Some(key) = key {
                return Raw::one(variable, table, key, keys, value).map(Some);
            }
        }
        Ok(None)
    }

    /// `capture.wait=spin`.
    pub(super) fn from_flag(flag: &str) -> Result<Raw, ConfigError> {
        let place = format!("--set {flag}");
        let Some((path, value)) = flag.split_once('=') else {
            return Err(ConfigError::in_source(place, "write table.key=value"));
        };
        let (table, key) = path.trim().rsplit_once('.').unwrap_or(("", path.trim()));
        if let Some((list, keys)) = LISTS.iter().find(|(l, _)| *l == table) {
            return Err(ConfigError::in_source(place, of_list(list, keys)));
        }
        let Some((table, keys)) = REACHABLE.iter().find(|(t, _)| *t == table) else {
            let tables: Vec<&str> = REACHABLE.iter().map(|(t, _)| *t).filter(|t| !t.is_empty()).collect();
            return Err(ConfigError::in_source(place, unknown_name("table", table, &tables)));
        };
        if table.is_empty() && !keys.contains(&key) {
            return Err(ConfigError::in_source(place, bare_key(key)));
        }
        Raw::one(&place, table, key, keys, value.trim())
    }

    /// A file with a single key. The value is read as TOML if it is that, else as a plain string.
    fn one(place: &str, table: &str, key: &str, keys: &[&str], value: &str) -> Result<Raw, ConfigError> {
        if !keys.contains(&key) {
            return Err(ConfigError::in_source(place, unknown_name("key", key, keys)));
        }
        let head = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
        let as_toml = format!("{head}{key} = {value}\n");
        // A value with a line break could smuggle in further keys.
        if !value.contains(['\n', '\r'])
            && let Ok(raw) = toml::from_str::<Raw>(&as_toml)
        {
            return Ok(raw);
        }
        let as_text = format!("{head}{key} = {}\n", toml::Value::String(value.to_owned()));
        toml::from_str(&as_text).map_err(|e| ConfigError::in_source(place, explain(&e, &as_text)))
    }

    /// What is set in `self` goes over `base`.
    pub(super) fn over(self, base: Raw) -> Raw {
        fn lay<T>(over: Option<T>, base: Option<T>, f: impl FnOnce(T, T) -> T) -> Option<T> {
            match (over, base) {
                (Some(o), Some(b)) => Some(f(o, b)),
                (o, b) => o.or(b),
            }
        }
        Raw {
            proxy: self.proxy.or(base.proxy),
            dataset: lay(self.dataset, base.dataset, DatasetTable::over),
            capture: lay(self.capture, base.capture, CaptureTable::over),
            http: lay(self.http, base.http, HttpTable::over),
            tls: lay(self.tls, base.tls, TlsTable::over),
            venue: if self.venue.is_empty() { base.venue } else { self.venue },
        }
    }
}

/// How a reader waits.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WaitWord {
    Epoll,
    Spin,
}

/// A list of symbols, or a rule.
#[derive(Clone, Debug)]
pub(super) enum Symbols {
    List(Vec<String>),
    Rule(SymbolRule),
}

impl<'de> Deserialize<'de> for Symbols {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Symbols, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Symbols;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of symbols like [\"BTCUSDT\"], or a rule like { quote = \"USDT\" }")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Symbols, A::Error> {
                let mut all = Vec::new();
                while let Some(s) = seq.next_element()? {
                    all.push(s);
                }
                Ok(Symbols::List(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Symbols, A::Error> {
                SymbolRule::deserialize(MapAccessDeserializer::new(map)).map(Symbols::Rule)
            }
        }
        d.deserialize_any(V)
    }
}

/// How many connections carry the same streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Legs(pub u8);

impl<'de> Deserialize<'de> for Legs {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Legs, D::Error> {
        match i64::deserialize(d)? {
            1 => Ok(Legs(1)),
            2 => Ok(Legs(2)),
            n => Err(D::Error::custom(format!("legs = {n} makes no sense; write 1 or 2"))),
        }
    }
}

/// A share above 0 and at most 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share(pub f64);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Share, D::Error> {
        let x = f64::deserialize(d)?;
        if x > 0.0 && x <= 1.0 {
            Ok(Share(x))
        } else {
            Err(D::Error::custom(format!("{x} is no share; write a number above 0 and at most 1, like 0.5")))
        }
    }
}

/// Every key that the file may have, as `table.key`.
#[cfg(test)]
pub(super) fn all_keys() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for (table, keys) in REACHABLE.iter().chain(LISTS) {
        for key in *keys {
            all.push(path_of(table, key));
        }
    }
    all
}
