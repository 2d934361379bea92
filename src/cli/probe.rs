//! `lobtape probe`: what a venue does when it is asked live, held against what we know of it.
//!
//! ```text
//! registry ─▶ streams (every channel, each speed) ─▶ sockets ─▶ watch ─┐
//!         └─▶ rest (clock, list, snapshots, polls) ────────────────────┼─▶ report ─▶ findings, Markdown, JSON
//! fixtures ─▶ keys (what was ever seen) ───────────────────────────────┘
//! ```
//! Nothing here knows a venue: each one of the registry can be probed.

mod chain;
mod judge;
mod keys;
mod reading;
mod report;
mod rest;
mod session;
mod streams;
mod watch;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::asking::{Asker, Reach};
use super::{DATA, Fault, IO, WELL, out, venues};
use crate::model::{Hosts, InstrumentVersion};
use crate::venue::Venue;

use report::Report;
use rest::AnswerSeen;

/// What a venue does when it is asked live: ids, pings, limits, channels, keys, held against what we know of it. Writes a
/// report to attach to an issue.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  lobtape probe --venue aster-futures\n  \
    lobtape probe --venue binance-usdm --symbols BTCUSDT,ETHUSDT --seconds 300 --out usdm.md\n  \
    lobtape probe --venue pumpkin-perp --rest https://… --ws wss://… --key-file pumpkin.toml\n  \
    lobtape probe --venue aster-spot --rest http://127.0.0.1:9443 --ws ws://127.0.0.1:9443 --seconds 15\n\n\
    Only public data is asked for; orders and accounts are never touched. The report holds no key and no signature; payloads \
    are cut short and few. Longer probes see more: pings may be five minutes apart.\n\n\
    Exit codes: 0 all that was tried fits, 1 usage, 2 something differs (the report says what), 3 the venue was not reached.")]
pub struct Args {
    /// The venue.
    #[arg(long, value_name = "VENUE")]
    pub venue: String,
    /// Symbols, comma-separated [default: the two busiest, or the first two that are traded].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub symbols: Vec<String>,
    /// Only this channel; may be repeated [default: all, in each of their speeds].
    #[arg(long = "channel", value_name = "NAME")]
    pub channels: Vec<String>,
    /// How long to listen.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(3..=86_400))]
    pub seconds: u64,
    /// Where the report goes; JSON goes beside it [default: lobtape-probe-VENUE-TIME.md].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// WebSocket base instead of the venue's own (plain ws on loopback only).
    #[arg(long, value_name = "URL")]
    pub ws: Option<String>,
    /// The report as one JSON object on stdout, too.
    #[arg(long)]
    pub json: bool,
    /// How the venue is reached.
    #[command(flatten)]
    pub reach: Reach,
}

/// What the venue said before anything was subscribed to.
pub(crate) struct First {
    /// Its list and volumes.
    answers: Vec<AnswerSeen>,
    /// Its instruments; empty if there was no list.
    listed: Vec<InstrumentVersion>,
    /// Elements of the list that could not be read.
    faulty: usize,
    /// The weight per minute that it states, 0 if none.
    weight_per_minute: u32,
    /// Parts of the list that speak of limits.
    limits: Vec<(String, String)>,
    /// What is probed.
    symbols: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// Wrong arguments, a symbol that is not listed (code 1), a venue that gives no list to choose symbols from, a report that
/// cannot be written (code 3).
pub fn run(args: Args) -> anyhow::Result<u8> {
    let venue = venues::by_id(&args.venue)?;
    if args.ws.is_none() && !venue.spec().hosts_known {
        return Err(Fault::usage(anyhow!(
            "{}: its hosts are not documented; name them: --ws wss://…",
            args.venue
        )));
    }
    for c in &args.channels {
        let symbol = (!venue.is_market(c)).then_some("X_PERP");
        venue.stream(c, symbol).map_err(Fault::usage)?;
    }
    let begun = crate::wire::clock::wall_ns();
    let path = args.out.clone().unwrap_or_else(|| report::default_path(&args.venue, begun));
    // Now, not after minutes of listening.
    std::fs::write(&path, "The probe is running; this file is replaced when it ends.\n")
        .map_err(|e| Fault::io(anyhow!("--out {}: {e}", path.display())))?;
    let report = probe(venue, &args, begun).inspect_err(|e| {
        // Whoever finds the file later must not think that somebody is still listening. The error itself is what counts:
        // it is told whether or not this can be written.
        let _ = std::fs::write(&path, format!("The probe of {} failed: {e:#}\n", args.venue));
    })?;
    finish(&args, &path, &report)
}

fn probe(venue: &'static dyn Venue, args: &Args, begun: i64) -> anyhow::Result<Report> {
    let mut asker = Asker::new(venue, &args.reach)?;
    let first = first(&mut asker, args)?;
    let stop = super::stopping::asked()?;
    let hosts = Hosts { rest: args.reach.rest.clone(), ws: args.ws.clone(), ..Hosts::default() };
    let seen = session::run(venue, asker, args, &hosts, &first, &stop)?;
    Ok(Report::new(venue, args, begun, first, seen))
}

/// Writes the report and says what it holds.
fn finish(args: &Args, path: &Path, report: &Report) -> anyhow::Result<u8> {
    let json = path.with_extension("json");
    let write = |p: &Path, text: String| {
        std::fs::write(p, text).map_err(|e| Fault::io(anyhow!("writing {}: {e}", p.display())))
    };
    write(path, report.markdown())?;
    write(&json, serde_json::to_string_pretty(report)? + "\n")?;
    let mut stdout = out::stdout();
    if args.json {
        out::json_line(&mut stdout, report)?;
    } else {
        writeln!(stdout, "{}", report.summary())?;
        writeln!(stdout, "report  {} and {}", path.display(), json.display())?;
    }
    stdout.flush()?;
    Ok(match (report.was_reached(), report.differences()) {
        (false, _) => IO,
        (true, 0) => WELL,
        (true, _) => DATA,
    })
}

/// Asks for the list and chooses the symbols.
fn first(asker: &mut Asker, args: &Args) -> anyhow::Result<First> {
    let venue = asker.venue;
    let mut f = First {
        answers: Vec::new(),
        listed: Vec::new(),
        faulty: 0,
        weight_per_minute: 0,
        limits: Vec::new(),
        symbols: args.symbols.clone(),
    };
    let request = venue.instruments_request();
    let (mut answer, got) = rest::seen("instrument list".to_owned(), &request, asker.try_get(&request));
    if let Some(r) = got.filter(|r| r.status == 200) {
        match venue.parse_instruments(&r.body) {
            Ok(list) => {
                asker.set_limit(list.weight_per_minute);
                answer.rows = list.instruments.len();
                (f.listed, f.faulty) = (list.instruments, list.faulty);
                f.weight_per_minute = list.weight_per_minute;
            }
            Err(e) => answer.fault = Some(format!("{e}: {:?}", super::asking::head(&r.body))),
        }
        f.limits = limits(&r.body);
    }
    f.answers.push(answer);
    if f.listed.is_empty() {
        if f.symbols.is_empty() {
            let why = f.answers[0].fault.clone().unwrap_or_else(|| "an empty list".to_owned());
            return Err(Fault::io(anyhow!(
                "{}: no instrument list to choose symbols from ({why}); name them: --symbols",
                args.venue
            )));
        }
        return Ok(f);
    }
    if let Some(s) = args.symbols.iter().find(|s| !f.listed.iter().any(|i| i.symbol == **s)) {
        return Err(Fault::usage(anyhow!(
            "{}: it lists no {s:?}; `lobtape instruments --venue {}` shows what it lists",
            args.venue,
            args.venue
        )));
    }
    if f.symbols.is_empty() {
        f.symbols = choose(asker, venue, &mut f);
    }
    Ok(f)
}

/// The two busiest of those in the state that most are in.
fn choose(asker: &mut Asker, venue: &dyn Venue, f: &mut First) -> Vec<String> {
    let mut states: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    f.listed.iter().for_each(|i| *states.entry(&i.status).or_default() += 1);
    let usual = states.into_iter().max_by_key(|s| s.1).map_or("", |s| s.0).to_owned();
    let mut volumes = std::collections::BTreeMap::new();
    if let Some(request) = venue.volumes_request() {
        let (mut answer, got) = rest::seen("volumes".to_owned(), &request, asker.try_get(&request));
        if let Some(r) = got.filter(|r| r.status == 200) {
            match venue.parse_volumes(&r.body) {
                Ok(all) => {
                    answer.rows = all.len();
                    volumes.extend(all);
                }
                Err(e) => answer.fault = Some(e.to_string()),
            }
        }
        f.answers.push(answer);
    }
    let mut usable: Vec<&InstrumentVersion> = f.listed.iter().filter(|i| i.status == usual).collect();
    // Stable: without volumes the list's own order stays.
    usable.sort_by_key(|i| std::cmp::Reverse(volumes.get(&i.symbol).copied().unwrap_or(0)));
    usable.iter().take(2).map(|i| i.symbol.clone()).collect()
}

/// Top-level parts of a list that speak of limits, each cut short.
fn limits(body: &[u8]) -> Vec<(String, String)> {
    let Ok(serde_json::Value::Object(o)) = serde_json::from_slice(body) else { return Vec::new() };
    o.into_iter()
        .filter(|(k, _)| k.to_ascii_lowercase().contains("limit"))
        .map(|(k, v)| (k, v.to_string().chars().take(1000).collect()))
        .take(10)
        .collect()
}
