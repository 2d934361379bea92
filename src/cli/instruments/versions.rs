//! The versions of instruments that a dataset has.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::config::SymbolRule;
use crate::dataset::read::{self, Batch, Want};
use crate::dataset::schema::Table;
use crate::dataset::{Dataset, DatasetError};
use crate::engine::choose::choose;
use crate::model::InstrumentVersion;

use super::{Args, table};
use crate::cli::ls::fault;
use crate::cli::{Fault, WELL, out, venues};

/// One version of an instrument. Numbers are the dataset's doubles.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Version {
    texts: InstrumentVersion,
    /// Tick, step, least notional, contract.
    numbers: [Option<f64>; 4],
    valid_to: i64,
}

/// ISO 8601, UTC, without a fraction where there is none.
pub(super) fn time_text(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| ns.to_string(), |t| t.to_string())
}

pub(super) fn run(args: &Args, dir: &Path, rule: &SymbolRule) -> anyhow::Result<u8> {
    if let Some(id) = &args.venue {
        venues::by_id(id)?;
    }
    let ds = Dataset::open(dir).map_err(fault)?;
    let all = load(&ds, args.venue.as_deref()).map_err(fault)?;
    if all.is_empty() {
        let of = args.venue.as_deref().map_or(String::new(), |v| format!(" of {v}"));
        return Err(Fault::usage(anyhow::anyhow!(
            "{}: no published instruments{of}; `lobtape ls` lists what is there",
            dir.display()
        )));
    }
    let newest: Vec<InstrumentVersion> =
        all.values().filter_map(|v| v.last()).map(|v| v.texts.clone()).collect();
    let mut fit: Vec<&Vec<Version>> = Vec::new();
    // Symbols of two venues may be the same text.
    let mut by_venue: BTreeMap<&str, Vec<InstrumentVersion>> = BTreeMap::new();
    newest.iter().for_each(|i| by_venue.entry(&i.venue).or_default().push(i.clone()));
    for (venue, listed) in by_venue {
        let chosen = choose(rule, None, &listed, &[], &Default::default());
        fit.extend(chosen.iter().filter_map(|s| all.get(&(venue.to_owned(), s.clone()))));
    }
    let mut stdout = out::stdout();
    if args.json {
        let instruments: Vec<Value> = fit.iter().map(|v| to_json(v, args.raw)).collect();
        let v = json!({ "data": dir, "known": all.len(), "instruments": instruments });
        out::json_line(&mut stdout, &v)?;
    } else {
        print(&mut stdout, &fit, all.len())?;
    }
    stdout.flush()?;
    Ok(WELL)
}

/// By venue and symbol, versions in the order of their time.
fn load(ds: &Dataset, venue: Option<&str>) -> Result<BTreeMap<(String, String), Vec<Version>>, DatasetError> {
    let mut all: BTreeMap<(String, String), Vec<Version>> = BTreeMap::new();
    let manifest = ds.manifest()?;
    let mut parts: Vec<_> = manifest
        .parts()
        .filter(|p| p.table() == Some(Table::Instruments) && venue.is_none_or(|v| v == p.venue))
        .collect();
    parts.sort_by(|a, b| a.order().cmp(&b.order()));
    for p in parts {
        for b in read::open(&ds.root().join(&p.path), Want::default())? {
            rows(&b?, &mut all)?;
        }
    }
    for versions in all.values_mut() {
        versions.sort_by_key(|v| v.texts.ts_valid_from);
        // Each part carries what holds at its beginning.
        versions.dedup_by(|b, a| {
            let same = a.texts.ts_valid_from == b.texts.ts_valid_from;
            if same {
                a.valid_to = a.valid_to.max(b.valid_to);
            }
            same
        });
        // A run begins with what it was told anew: the same facts are the same version.
        versions.dedup_by(|b, a| a.facts() == b.facts());
        for i in 1..versions.len() {
            versions[i - 1].valid_to = versions[i].texts.ts_valid_from;
        }
    }
    Ok(all)
}

fn rows(b: &Batch, all: &mut BTreeMap<(String, String), Vec<Version>>) -> Result<(), DatasetError> {
    let texts = ["instrument", "base", "quote", "settle", "contract_type", "status", "source", "raw_json"];
    let texts = texts.map(|n| b.text(n)).into_iter().collect::<Result<Vec<_>, _>>()?;
    let numbers = ["tick_size", "step_size", "min_notional", "contract_size"];
    let numbers = numbers.map(|n| b.f64(n)).into_iter().collect::<Result<Vec<_>, _>>()?;
    let ints = ["price_exp", "size_exp", "ts_expiry", "ts_valid_from", "ts_valid_to"];
    let ints = ints.map(|n| b.i64(n)).into_iter().collect::<Result<Vec<_>, _>>()?;
    let inverse = b.bool("is_inverse")?;
    let rows = 0..b.rows();
    for i in rows {
        let text = |c: usize| texts[c].value(i).to_owned();
        let Some((venue, symbol)) = texts[0].value(i).split_once(':') else { continue };
        let int = |c: usize| ints[c][i];
        let exp = |c: usize| u8::try_from(int(c)).unwrap_or(0);
        let version = InstrumentVersion {
            base: text(1),
            quote: text(2),
            settle: text(3),
            contract_type: text(4),
            status: text(5),
            source: text(6),
            raw_json: text(7),
            is_inverse: inverse.value(i),
            price_exp: exp(0),
            size_exp: exp(1),
            ts_expiry: int(2),
            ts_valid_from: int(3),
            ..InstrumentVersion::observed(venue, symbol)
        };
        let number = |c: usize| {
            let column: &arrow_array::Float64Array = numbers[c];
            (!arrow_array::Array::is_null(column, i)).then(|| column.value(i))
        };
        let version = Version { texts: version, numbers: [0, 1, 2, 3].map(number), valid_to: int(4) };
        all.entry((venue.to_owned(), symbol.to_owned())).or_default().push(version);
    }
    Ok(())
}

impl Version {
    /// What it says, as named texts.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let t = &self.texts;
        let n = |i: usize| self.numbers[i].map_or(String::new(), |x| x.to_string());
        let expires = if t.ts_expiry == 0 { String::new() } else { time_text(t.ts_expiry) };
        vec![
            ("status", t.status.clone()),
            ("type", t.contract_type.clone()),
            ("base", t.base.clone()),
            ("quote", t.quote.clone()),
            ("settle", t.settle.clone()),
            ("tick", n(0)),
            ("step", n(1)),
            ("min notional", n(2)),
            ("contract", n(3)),
            ("expires", expires),
            ("price decimals", t.price_exp.to_string()),
            ("size decimals", t.size_exp.to_string()),
        ]
    }

    /// What differs from the version before.
    fn changes(&self, before: &Version) -> Vec<String> {
        let show = |s: &str| if s.is_empty() { "(none)".to_owned() } else { s.to_owned() };
        let pairs = before.facts().into_iter().zip(self.facts());
        pairs
            .filter(|(a, b)| a != b)
            .map(|(a, b)| format!("{} {} → {}", a.0, show(&a.1), show(&b.1)))
            .collect()
    }
}

fn print(w: &mut impl Write, fit: &[&Vec<Version>], known: usize) -> io::Result<()> {
    if fit.is_empty() {
        return writeln!(w, "none of the {known} known instruments fits");
    }
    let head = [
        "instrument",
        "valid from",
        "valid to",
        "status",
        "type",
        "quote",
        "tick",
        "step",
        "source",
        "changed",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for versions in fit {
        for (i, v) in versions.iter().enumerate() {
            let t = &v.texts;
            let n = |i: usize| v.numbers[i].map_or(String::new(), |x| x.to_string());
            let changed = match i.checked_sub(1) {
                Some(before) => v.changes(&versions[before]).join(", "),
                None => String::new(),
            };
            rows.push(vec![
                t.key(),
                time_text(t.ts_valid_from),
                if v.valid_to == 0 { "(holds)".to_owned() } else { time_text(v.valid_to) },
                t.status.clone(),
                t.contract_type.clone(),
                t.quote.clone(),
                n(0),
                n(1),
                t.source.clone(),
                changed,
            ]);
        }
    }
    let versions = rows.len() - 1;
    table(w, &rows)?;
    writeln!(w, "\n{versions} versions of {} of {known} known instruments", fit.len())
}

fn to_json(versions: &[Version], raw: bool) -> Value {
    let one = |(i, v): (usize, &Version)| {
        let t = &v.texts;
        let changed = i.checked_sub(1).map_or_else(Vec::new, |before| v.changes(&versions[before]));
        let mut json = json!({
            "status": t.status, "contract_type": t.contract_type, "base": t.base, "quote": t.quote,
            "settle": t.settle, "is_inverse": t.is_inverse, "price_exp": t.price_exp, "size_exp": t.size_exp,
            "tick_size": v.numbers[0], "step_size": v.numbers[1], "min_notional": v.numbers[2],
            "contract_size": v.numbers[3], "ts_expiry": t.ts_expiry, "ts_valid_from": t.ts_valid_from,
            "ts_valid_to": v.valid_to, "source": t.source, "changed": changed,
        });
        if raw {
            json["raw"] = serde_json::from_str(&t.raw_json).unwrap_or(Value::Null);
        }
        json
    };
    let (venue, symbol) = versions.last().map_or(("", ""), |v| (&v.texts.venue, &v.texts.symbol));
    json!({
        "venue": venue, "symbol": symbol,
        "versions": versions.iter().enumerate().map(one).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{PartKey, PartWriter, Provenance, publish};
    use crate::model::{Dec, Head, InstrumentId, RowRef, VenueIx, time};

    const DAY: i64 = time::NS_PER_DAY;

    /// Interval start, valid from, valid to, status, tick.
    type Told = (i64, i64, i64, &'static str, i64);

    /// A dataset whose parts have these versions.
    fn dataset(dir: &Path, parts: &[&[Told]]) -> Dataset {
        let ds = Dataset::create(dir).unwrap();
        let mut closed = Vec::new();
        for (n, versions) in parts.iter().enumerate() {
            let start = versions[0].0;
            let key = PartKey {
                table: Table::Instruments,
                venue: "aster-futures".to_owned(),
                symbol: None,
                day: time::day_of(start),
                interval_start: start,
                lane: 1,
                n: n as u32,
            };
            let mut w = PartWriter::new(&ds, key, 1).unwrap();
            let mut row = 0;
            for (start, from, to, status, tick) in *versions {
                for symbol in ["BTCUSDT", "ETHUSDC"] {
                    let mut v = InstrumentVersion::observed("aster-futures", symbol);
                    (v.quote, v.status) = (symbol[3..].to_owned(), (*status).to_owned());
                    v.tick_size = Dec::new(*tick, 2);
                    let row_ref = RowRef::Instrument { version: &v, ts_valid_from: *from, ts_valid_to: *to };
                    let head = Head {
                        instrument: InstrumentId(0),
                        venue: VenueIx(0),
                        lane: 1,
                        ts_recv: start + 1,
                        ts_kernel: 0,
                        ts_event: 0,
                        ts_send: 0,
                        conn: 1,
                        rseq: -1,
                        flags: 0,
                    };
                    w.push(&mut row, &head, &v.key(), (1, 3), &row_ref).unwrap();
                }
            }
            closed.extend(w.close().unwrap());
        }
        let provenance =
            Provenance { run_id: "r".into(), build: "b".into(), host: "h".into(), config_sha256: "0".into() };
        publish(&ds, closed, &provenance).unwrap();
        ds
    }

    #[test]
    fn versions_come_in_their_order_and_say_what_changed() {
        let d = tempfile::tempdir().unwrap();
        let t = 20_000 * DAY;
        let ds = dataset(
            &d.path().join("x"),
            &[
                &[(t, t + 5, 0, "TRADING", 10)],
                // Carried into the next day; then twice something new; then a restart that says the same again.
                &[(t + DAY, t + 5, 0, "TRADING", 10), (t + DAY, t + DAY + 7, 0, "BREAK", 10)],
                &[(t + DAY, t + DAY + 9, 0, "BREAK", 1), (t + DAY, t + DAY + 90, 0, "BREAK", 1)],
            ],
        );
        let all = load(&ds, Some("aster-futures")).unwrap();
        let versions = &all[&("aster-futures".to_owned(), "BTCUSDT".to_owned())];
        let times: Vec<(i64, i64)> = versions.iter().map(|v| (v.texts.ts_valid_from, v.valid_to)).collect();
        assert_eq!(times, [(t + 5, t + DAY + 7), (t + DAY + 7, t + DAY + 9), (t + DAY + 9, 0)]);
        assert_eq!(versions[1].changes(&versions[0]), ["status TRADING → BREAK"]);
        assert_eq!(versions[2].changes(&versions[1]), ["tick 0.1 → 0.01"]);
        assert!(load(&ds, Some("binance-spot")).unwrap().is_empty());
        let mut text = Vec::new();
        print(&mut text, &all.values().collect::<Vec<_>>(), all.len()).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("(holds)") && text.contains("6 versions of 2 of 2"), "{text}");
        let json = to_json(versions, false);
        assert_eq!(json["versions"][1]["changed"][0], "status TRADING → BREAK");
        assert_eq!(json["versions"][2]["tick_size"], 0.01);
    }
}
