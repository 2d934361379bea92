//! `lobtape venues`: what is supported.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::model::{SnapshotSource, VenueSpec};
use crate::venue::{self, ChannelInfo, Evidence, Venue};

use super::{Fault, WELL, out};

/// The venues that this build knows: ids, channels, and what their support rests on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  lobtape venues\n  lobtape venues aster-futures\n  \
                  lobtape venues --json | jq -r '.venues[].id'\n\n\
                  In a channel's grammar <a…b> is a choice and [x] may follow. Channels are what `channels` of the \
                  configuration takes.")]
pub struct Args {
    /// Only this one, with its channels.
    #[arg(value_name = "VENUE")]
    pub venue: Option<String>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// An unknown venue (code 1), or output that failed.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let chosen = match &args.venue {
        None => venue::all().to_vec(),
        Some(id) => vec![by_id(id)?],
    };
    let mut stdout = out::stdout();
    if args.json {
        let venues: Vec<Value> = chosen.iter().map(|v| to_json(*v)).collect();
        out::json_line(&mut stdout, &json!({ "venues": venues }))?;
    } else if args.venue.is_some() {
        one(&mut stdout, chosen[0])?;
    } else {
        table(&mut stdout, &chosen)?;
    }
    stdout.flush()?;
    Ok(WELL)
}

/// The venue of an id.
///
/// # Errors
/// With code 1, naming the known ones.
pub(super) fn by_id(id: &str) -> anyhow::Result<&'static dyn Venue> {
    venue::by_id(id).map(|(_, v)| v).ok_or_else(|| {
        let known: Vec<&str> = venue::all().iter().map(|v| v.spec().id).collect();
        Fault::usage(anyhow::anyhow!("unknown venue {id:?}; known: {}", known.join(", ")))
    })
}

fn evidence(v: &dyn Venue) -> &'static str {
    match v.evidence() {
        Evidence::Recordings => "recordings",
        Evidence::Documents => "documents",
    }
}

fn table(w: &mut impl Write, venues: &[&dyn Venue]) -> io::Result<()> {
    writeln!(w, "{:<18} {:<34} {:>8} {:<11} simulated", "id", "venue", "channels", "tested on")?;
    for v in venues {
        let simulated = if v.dialect().is_some() { "yes" } else { "no" };
        let (s, n) = (v.spec(), v.channels().len());
        writeln!(w, "{:<18} {:<34} {n:>8} {:<11} {simulated}", s.id, s.title, evidence(*v))?;
    }
    writeln!(w, "\nNone was tried live. `lobtape venues ID` lists a venue's channels.")
}

fn one(w: &mut impl Write, v: &dyn Venue) -> io::Result<()> {
    let s = v.spec();
    let books = match s.snapshot {
        SnapshotSource::Rest => "snapshot by REST",
        SnapshotSource::InBand => "snapshot on the connection itself",
    };
    writeln!(w, "{}  {}", s.id, s.title)?;
    writeln!(w, "  hosts      {}  {}", s.rest, s.ws)?;
    let replaced = match rotates_after(s) {
        Some(seconds) => format!("replaced after {} h", seconds / 3600),
        None => "of no limited age".to_owned(),
    };
    writeln!(w, "  books      {books}; {} streams per connection, {replaced}", s.streams_per_conn_max)?;
    writeln!(w, "  tested on  {}; not tried live", evidence(v))?;
    writeln!(w, "\n  {:<44} {:<28} {:<14} such as", "channel", "for example", "table")?;
    for c in v.channels() {
        let about = c.symbol.unwrap_or("all symbols");
        let table = c.kind.table().unwrap_or("(raw only)");
        writeln!(w, "  {:<44} {:<28} {table:<14} {about}", c.grammar, c.example)?;
    }
    if !v.polls().is_empty() {
        writeln!(w, "\n  {:<44} {:<28} {:<14} asked about", "by REST, again and again", "every", "table")?;
    }
    for p in v.polls() {
        let about = if p.per_symbol { "each symbol" } else { "all symbols" };
        let (every, table) = (format!("{} s", p.every_s), p.kind.table().unwrap_or("(raw only)"));
        writeln!(w, "  {:<44} {every:<28} {table:<14} {about}, weight {}", p.grammar(), p.weight)?;
    }
    Ok(())
}

/// Seconds after which a connection is replaced; `None`: the venue sets it no age.
fn rotates_after(s: &VenueSpec) -> Option<u32> {
    (s.conn_age_max_s != u32::MAX).then_some(s.rotate_after_s)
}

fn to_json(v: &dyn Venue) -> Value {
    let s = v.spec();
    let channel = |c: ChannelInfo| {
        json!({
            "grammar": c.grammar, "example": c.example, "symbol_example": c.symbol, "table": c.kind.table(),
        })
    };
    json!({
        "id": s.id,
        "title": s.title,
        "rest": s.rest,
        "ws": s.ws,
        "tested_on": evidence(v),
        "tried_live": false,
        "simulated": v.dialect().is_some(),
        "snapshot": match s.snapshot { SnapshotSource::Rest => "rest", SnapshotSource::InBand => "in_band" },
        "streams_per_connection": s.streams_per_conn_max,
        "rotate_after_s": rotates_after(s),
        "channels_default": s.channels_default,
        "channels": v.channels().into_iter().map(channel).collect::<Vec<_>>(),
        "polls": v.polls().iter().map(|p| json!({
            "grammar": p.grammar(), "example": format!("{}{}", p.channel, p.args[0]), "per_symbol": p.per_symbol,
            "every_s": p.every_s, "weight": p.weight, "table": p.kind.table(),
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::asking::{Asker, Reach};
    use crate::simulator::{SimConfig, Simulator, Symbols};

    fn text(v: &dyn Venue) -> String {
        let mut w = Vec::new();
        one(&mut w, v).unwrap();
        String::from_utf8(w).unwrap()
    }

    #[test]
    fn sample_symbols_are_such_as_the_venue_lists() {
        for v in venue::all() {
            let id = v.spec().id;
            let sim = Simulator::start(SimConfig {
                venue: id.to_owned(),
                symbols: Symbols::Count(1),
                ..SimConfig::default()
            })
            .unwrap();
            let reach = Reach { rest: Some(sim.rest_base()), ..Reach::default() };
            let got = Asker::new(*v, &reach).unwrap().get(&v.instruments_request()).unwrap();
            let listed = &v.parse_instruments(&got.body).unwrap().instruments[0];
            for c in v.channels() {
                let Some(symbol) = c.symbol else { continue };
                let of_instrument = v.stream(&c.example, Some(symbol)).unwrap().symbol.is_some();
                assert!(
                    symbol == listed.symbol || (!of_instrument && symbol.starts_with(&listed.base)),
                    "{id}: {c:?}, it lists {}",
                    listed.symbol
                );
            }
        }
    }

    #[test]
    fn a_connection_without_a_limited_age_is_told_as_such() {
        for v in venue::all() {
            let (t, json) = (text(*v), to_json(*v));
            match v.spec().conn_age_max_s {
                u32::MAX => {
                    assert!(t.contains("of no limited age") && json["rotate_after_s"].is_null(), "{t}");
                }
                age => {
                    let hours = v.spec().rotate_after_s / 3600;
                    assert!(hours > 0 && hours < age / 3600, "{t}");
                    assert!(t.contains(&format!("replaced after {hours} h")), "{t}");
                }
            }
        }
    }
}
