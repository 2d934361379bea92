//! `lobtape instruments`: what a venue lists, or what a dataset knows of its instruments.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::config::{Patterns, SymbolRule};
use crate::engine::choose::choose;
use crate::model::{Dec, InstrumentVersion};
use crate::venue::{InstrumentList, Venue};

use super::asking::{Asker, Reach};
use super::{Fault, WELL, out, venues};

mod versions;

use versions::time_text;

/// What a venue lists, asked now, or the versions that a dataset has of its instruments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  lobtape instruments --venue aster-futures --quote USDT --status TRADING\n  \
    lobtape instruments --venue binance-usdm --top-by-volume 20 --json | jq -r '.instruments[].symbol'\n  \
    lobtape instruments --venue pumpkin-perp --rest https://… --key-file pumpkin.toml\n  \
    lobtape instruments --data lobtape-demo\n  \
    lobtape instruments --data data --venue aster-futures --glob 'BTC*' --json\n\n\
    Filters mean what they mean in a rule of the configuration; all that are given must hold. Of a dataset they look at \
    an instrument's newest version, and all its versions are shown: what changed, from when to when it held."
)]
pub struct Args {
    /// The venue. Without --data it is asked.
    #[arg(long, value_name = "VENUE", required_unless_present = "data")]
    pub venue: Option<String>,
    /// A dataset instead of the venue.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["rest", "ca", "proxy", "key_file", "top_by_volume"])]
    pub data: Option<PathBuf>,
    /// Only this quote asset (USDT).
    #[arg(long, value_name = "ASSET")]
    pub quote: Option<String>,
    /// Only this base asset (BTC).
    #[arg(long, value_name = "ASSET")]
    pub base: Option<String>,
    /// Only this state, in the venue's word (TRADING).
    #[arg(long, value_name = "WORD")]
    pub status: Option<String>,
    /// Only this kind, in the venue's word (PERPETUAL).
    #[arg(long, value_name = "WORD")]
    pub contract_type: Option<String>,
    /// Only symbols that fit the pattern: `*` is any text, `?` any character. May be repeated: one must fit.
    #[arg(long, value_name = "PATTERN")]
    pub glob: Vec<String>,
    /// No symbol that fits the pattern. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// The so many with the greatest volume of the last 24 hours, of those that fit.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub top_by_volume: Option<u32>,
    /// With --json: each instrument as the venue wrote it, too.
    #[arg(long, requires = "json")]
    pub raw: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    /// How the venue is reached.
    #[command(flatten)]
    pub reach: Reach,
}

impl Args {
    fn rule(&self) -> anyhow::Result<SymbolRule> {
        let rule = SymbolRule {
            quote: self.quote.clone(),
            base: self.base.clone(),
            status: self.status.clone(),
            contract_type: self.contract_type.clone(),
            glob: Patterns(self.glob.clone()),
            exclude: Patterns(self.exclude.clone()),
            top_by_volume: self.top_by_volume,
        };
        match rule.fault() {
            // Of a configuration it would be a mistake; here it means all.
            Some(_) if rule == SymbolRule::default() => Ok(rule),
            Some(why) => Err(Fault::usage(anyhow!(why))),
            None => Ok(rule),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// An unknown venue, no dataset there (code 1), a list or file that cannot be read (code 2), a venue that does not answer
/// (code 3).
pub fn run(args: Args) -> anyhow::Result<u8> {
    let rule = args.rule()?;
    if let Some(dir) = &args.data {
        return versions::run(&args, dir, &rule);
    }
    let id = args.venue.as_deref().unwrap_or_default();
    let mut asker = Asker::new(venues::by_id(id)?, &args.reach)?;
    let asked = ask(&mut asker, &rule)?;
    let mut stdout = out::stdout();
    if args.json {
        out::json_line(&mut stdout, &asked.to_json(&asker, args.raw))?;
    } else {
        asked.print(&mut stdout, asker.venue)?;
    }
    stdout.flush()?;
    Ok(WELL)
}

/// A venue's answer.
pub(super) struct Asked {
    /// What it lists.
    pub(super) list: InstrumentList,
    /// The symbols that fit, in the list's order.
    pub(super) fit: Vec<String>,
    /// When the list was complete, ns.
    at: i64,
    path: String,
}

/// Asks a venue for its list, and chooses of it.
///
/// # Errors
/// As [`run`].
pub(super) fn ask(asker: &mut Asker, rule: &SymbolRule) -> anyhow::Result<Asked> {
    let (venue, id) = (asker.venue, asker.venue.spec().id);
    let volumes = match (rule.top_by_volume, venue.volumes_request()) {
        (None, _) => Vec::new(),
        (Some(_), None) => {
            return Err(Fault::usage(anyhow!("{id}: it has no list of volumes; leave --top-by-volume out")));
        }
        (Some(_), Some(request)) => {
            let got = asker.get(&request)?;
            venue.parse_volumes(&got.body).map_err(|e| unread(id, &request.path, &e.to_string()))?
        }
    };
    let request = venue.instruments_request();
    let got = asker.get(&request)?;
    let list = venue.parse_instruments(&got.body).map_err(|e| unread(id, &request.path, &e.to_string()))?;
    // Who asks for nothing in particular sees all that is listed.
    let spec = (*rule != SymbolRule::default()).then(|| venue.spec());
    let fit = choose(rule, spec, &list.instruments, &volumes, &BTreeSet::new());
    Ok(Asked { list, fit, at: got.ts_recv, path: request.path })
}

fn unread(id: &str, path: &str, why: &str) -> anyhow::Error {
    Fault::data(anyhow!(
        "{id}: the answer of {path} is not what this version reads: {why}; `lobtape probe --venue {id}` writes a report \
         to send us"
    ))
}

impl Asked {
    fn fitting(&self) -> impl Iterator<Item = &InstrumentVersion> {
        let fit: BTreeSet<&str> = self.fit.iter().map(String::as_str).collect();
        self.list.instruments.iter().filter(move |i| fit.contains(i.symbol.as_str()))
    }

    fn print(&self, w: &mut impl Write, venue: &dyn Venue) -> io::Result<()> {
        const HEAD: [&str; 10] =
            ["symbol", "status", "type", "base", "quote", "settle", "tick", "step", "contract", "expires"];
        let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
        rows.extend(self.fitting().map(|i| {
            let d = |d: Dec| d.trimmed().to_string();
            let expires = if i.ts_expiry == 0 { String::new() } else { time_text(i.ts_expiry) };
            vec![
                i.symbol.clone(),
                i.status.clone(),
                i.contract_type.clone(),
                i.base.clone(),
                i.quote.clone(),
                i.settle.clone(),
                d(i.tick_size),
                d(i.step_size),
                d(i.contract_size),
                expires,
            ]
        }));
        if self.fit.is_empty() {
            writeln!(w, "{}: none of the {} listed fits", venue.spec().id, self.list.instruments.len())?;
        } else {
            table(w, &rows)?;
            let (n, all) = (self.fit.len(), self.list.instruments.len());
            writeln!(w, "\n{n} of {all} listed by {} at {}", venue.spec().id, time_text(self.at))?;
        }
        if self.list.faulty > 0 {
            writeln!(w, "{} more could not be read; a probe of the venue shows why", self.list.faulty)?;
        }
        Ok(())
    }

    fn to_json(&self, asker: &Asker, raw: bool) -> Value {
        let one = |i: &InstrumentVersion| {
            let d = |d: Dec| (!d.is_none()).then(|| d.trimmed().to_string());
            let mut v = json!({
                "symbol": i.symbol, "status": i.status, "contract_type": i.contract_type, "base": i.base,
                "quote": i.quote, "settle": i.settle, "is_inverse": i.is_inverse, "price_exp": i.price_exp,
                "size_exp": i.size_exp, "tick_size": d(i.tick_size), "step_size": d(i.step_size),
                "min_notional": d(i.min_notional), "contract_size": d(i.contract_size), "ts_expiry": i.ts_expiry,
            });
            if raw {
                v["raw"] = serde_json::from_str(&i.raw_json).unwrap_or(Value::Null);
            }
            v
        };
        json!({
            "venue": asker.venue.spec().id,
            "url": format!("{}{}", asker.base(), self.path),
            "ts_recv": self.at,
            "listed": self.list.instruments.len(),
            "unreadable": self.list.faulty,
            "weight_per_minute": self.list.weight_per_minute,
            "instruments": self.fitting().map(one).collect::<Vec<_>>(),
        })
    }
}

/// Columns as wide as they need to be; a column without a text below its head is left out.
fn table(w: &mut impl Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let used: Vec<(usize, usize)> =
        (0..columns).filter(|&c| rows[1..].iter().any(|r| !r[c].is_empty())).map(|c| (c, width(c))).collect();
    for r in rows {
        let cells: Vec<String> = used.iter().map(|&(c, n)| format!("{:n$}", r[c])).collect();
        writeln!(w, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::{SimClock, SimConfig, Simulator, Symbols};

    #[test]
    fn every_venue_lists_its_instruments_and_a_rule_chooses_of_them() {
        for venue in crate::venue::all() {
            let id = venue.spec().id;
            let sim = Simulator::start(SimConfig {
                venue: id.to_owned(),
                symbols: Symbols::Count(3),
                ..SimConfig::default()
            })
            .unwrap();
            let reach = Reach { rest: Some(sim.rest_base()), ..Reach::default() };
            let mut asker = Asker::new(*venue, &reach).unwrap();
            let all = ask(&mut asker, &SymbolRule::default()).unwrap_or_else(|e| panic!("{id}: {e}"));
            assert_eq!((all.fit.len(), all.list.faulty), (3, 0), "{id}: {:?}", all.fit);
            let first = all.fit[0].clone();
            // The rank by volume of the simulated market: the first one has most, where it has traded at all.
            let top = SymbolRule { top_by_volume: Some(1), ..SymbolRule::default() };
            let top = ask(&mut asker, &top).unwrap_or_else(|e| panic!("{id}: {e}"));
            assert_eq!(top.fit.len(), 1, "{id}: {:?}", top.fit);
            let rule = SymbolRule { glob: Patterns(vec![first.clone()]), ..SymbolRule::default() };
            let one = ask(&mut asker, &rule).unwrap();
            assert_eq!(one.fit, [first]);
            let v = one.to_json(&asker, true);
            assert!(v["instruments"][0]["raw"].is_object() && v["listed"] == 3, "{id}: {v}");
            let mut text = Vec::new();
            one.print(&mut text, *venue).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("1 of 3 listed by") && text.contains("tick"), "{text}");
            sim.stop();
        }
    }

    /// What each venue says to a request for its list under a fault, or in one of its ways of speaking.
    fn refusal(v: &'static dyn Venue, fault: Option<&str>, variant: Option<&str>) -> String {
        let sim = Simulator::start(SimConfig {
            venue: v.spec().id.to_owned(),
            variant: variant.map(str::to_owned),
            clock: SimClock::Manual,
            ..SimConfig::default()
        })
        .unwrap();
        if let Some(f) = fault {
            sim.inject(crate::simulator::FaultSpec::parse(f).unwrap()).unwrap();
            sim.advance(1).unwrap();
        }
        let reach = Reach { rest: Some(sim.rest_base()), ..Reach::default() };
        let e = Asker::new(v, &reach).unwrap().get(&v.instruments_request()).unwrap_err();
        assert_eq!(crate::cli::fault::exit_code(&e), crate::cli::IO);
        e.to_string()
    }

    #[test]
    fn every_venue_s_refusal_is_told_for_what_it_is() {
        for v in crate::venue::all() {
            let id = v.spec().id;
            for word in ["403", "418", "429", "439"] {
                let e = refusal(*v, Some(&format!("{word}:for_ms=60000,retry_after_s=7")), None);
                assert!(e.contains(word), "{id}: {word}: {e}");
            }
            let e = refusal(*v, Some("denied:for_ms=60000"), None);
            assert!(!e.contains("too many") && e.contains("--key-file"), "{id}: {e}");
        }
        // A signature that is missing or wrong.
        let e = refusal(crate::venue::by_id("pumpkin-perp").unwrap().1, None, Some("signed"));
        assert!(e.contains("200 with code 1") && e.contains("signature") && e.contains("--key-file"), "{e}");
        assert!(!e.contains("418") && !e.contains("too many"), "{e}");
    }

    #[test]
    fn what_is_refused_says_what_to_do() {
        let v = crate::venue::by_id("pumpkin-perp").unwrap().1;
        let e = Asker::new(v, &Reach::default()).err().unwrap();
        assert!(e.to_string().contains("--rest"), "{e}");
        let sim = Simulator::start(SimConfig { clock: SimClock::Manual, ..SimConfig::default() }).unwrap();
        let refused = crate::simulator::FaultSpec::parse("429:for_ms=60000,retry_after_s=7").unwrap();
        sim.inject(refused).unwrap();
        sim.advance(1).unwrap();
        let v = crate::venue::by_id("aster-futures").unwrap().1;
        let reach = Reach { rest: Some(sim.rest_base()), ..Reach::default() };
        let mut asker = Asker::new(v, &reach).unwrap();
        let e = asker.get(&v.instruments_request()).unwrap_err();
        assert!(e.to_string().contains("429") && e.to_string().contains("again in 7 s"), "{e}");
        // Who was told to wait does not ask again.
        let e = asker.get(&v.instruments_request()).unwrap_err();
        assert!(e.to_string().contains("budget is spent"), "{e}");
        assert_eq!(sim.stop().requests, 1);
        let gone = Reach { rest: Some("http://127.0.0.1:1".to_owned()), ..Reach::default() };
        let e = Asker::new(v, &gone).unwrap().get(&v.instruments_request()).unwrap_err();
        assert_eq!(crate::cli::fault::exit_code(&e), crate::cli::IO);
    }
}
