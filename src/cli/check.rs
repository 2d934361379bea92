//! `lobtape check`: what a configuration comes to.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::config::{Config, Wait};
use crate::dataset::{Dataset, DatasetError};
use crate::engine::plan::{Plan, VenuePlan, plan};
use crate::engine::{cores, keys, runtime};
use crate::model::time::{NS_PER_DAY, NS_PER_MIN, NS_PER_S};

use super::configured::Configured;
use super::{Fault, Faulty, WELL, out};

mod asked;

use asked::{ByRule, Rules};

/// What a configuration comes to: connections, streams, REST weight, memory, disk. Nothing is opened and nobody asked, unless
/// with --ask.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  lobtape check -c lobtape.toml\n  lobtape check -c lobtape.toml --set capture.cores=[2,3] --json\n  \
    lobtape check -c lobtape.toml --ask\n\n\
    Without --ask it is not known whether the venues list the symbols, nor which ones a rule chooses: the figures leave those out."
)]
pub struct Args {
    /// Where the configuration is.
    #[command(flatten)]
    pub configured: Configured,
    /// Asks each venue for its instrument list, as capture does first: rules are resolved, symbols that are not listed refused.
    #[arg(long)]
    pub ask: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// A configuration that cannot be captured (code 1), a list that cannot be read (code 2), a venue that does not answer, or
/// output that failed (code 3).
pub fn run(args: Args) -> anyhow::Result<u8> {
    let config = args.configured.load()?;
    let offline = plan(&config).or_usage()?;
    for v in &config.venues {
        keys::load(v, &|name| std::env::var(name).ok()).map_err(Fault::usage)?;
    }
    // Who checks need not be who captures: what another user may do is a warning.
    let (of_user, faults): (Vec<_>, Vec<_>) =
        runtime::faults(&config).into_iter().partition(|e| e.is_of_user());
    if let Some(e) = faults.into_iter().next() {
        return Err(Fault::usage(e));
    }
    let named: Vec<String> = of_user.iter().map(ToString::to_string).collect();
    let (plan, rules) = match args.ask {
        true => asked::ask(&config)?,
        false => (offline, asked::unasked(&config)),
    };
    // Files of others may be gone by the time of the capture, and an example is checked where it lies: that is a warning.
    let foreign = match Dataset::could_be(&config.dataset.path) {
        Err(e @ DatasetError::NotOurs { .. }) => Some(e.to_string()),
        place => place.map(|()| None).map_err(super::ls::fault)?,
    };
    let mut stdout = out::stdout();
    if args.json {
        let mut json = to_json(&config, &plan, &rules);
        if let Some(all) = json["warnings"].as_array_mut() {
            all.extend(rules.iter().filter_map(|(id, r)| Some(Value::from(r.warning(id)?))));
            all.extend(named.into_iter().chain(foreign).map(Value::from));
        }
        out::json_line(&mut stdout, &json)?;
    } else {
        print(&mut stdout, &config, &plan, &rules)?;
        for why in named.into_iter().chain(foreign) {
            writeln!(stdout, "warning   {why}")?;
        }
    }
    stdout.flush()?;
    Ok(WELL)
}

fn span(ns: i64) -> String {
    for (unit, len) in
        [("d", NS_PER_DAY), ("h", 60 * NS_PER_MIN), ("m", NS_PER_MIN), ("s", NS_PER_S), ("ms", 1_000_000)]
    {
        if ns != 0 && ns % len == 0 {
            return format!("{}{unit}", ns / len);
        }
    }
    format!("{ns}ns")
}

fn print(w: &mut impl Write, c: &Config, p: &Plan, rules: &Rules) -> io::Result<()> {
    let keep: Vec<String> = c.dataset.keep.iter().map(|(t, ns)| format!("{t} kept {}", span(*ns))).collect();
    let keep = if keep.is_empty() { "everything kept".to_owned() } else { keep.join(", ") };
    let limit = c.dataset.max_size.map(|n| format!(", at most {}", out::bytes(n))).unwrap_or_default();
    writeln!(
        w,
        "dataset   {}, files every {}, {keep}{limit}",
        c.dataset.path.display(),
        span(c.dataset.interval_ns)
    )?;
    let wait = match c.capture.wait {
        Wait::Epoll => "epoll",
        Wait::Spin => "spin",
    };
    let refused = cores::refused(&p.lanes);
    for l in &p.lanes {
        let pinned = l.core.filter(|_| refused.iter().all(|(lane, _)| *lane != l.lane));
        let core = pinned.map_or("not pinned".to_owned(), |c| format!("core {c}"));
        let streams: usize = l.conns.iter().map(|(_, _, c)| c.streams.len()).sum();
        let conns = l.conns.len();
        let s = if conns == 1 { "" } else { "s" };
        writeln!(w, "lane {:03}  {core}, {wait}: {streams} streams over {conns} connection{s}", l.lane)?;
    }
    for (_, why) in &refused {
        writeln!(w, "          warning: {why}")?;
    }
    for v in &p.venues {
        let (id, streams, books) = (v.venue.spec().id, v.streams.len(), v.books.len());
        writeln!(w, "venue     {id}: {streams} streams, {books} books")?;
        if let Some(rule) = rules.get(id) {
            rule.print(w)?;
        }
        if let Some(h) = v.hosts.rest.as_ref().or(v.hosts.ws.as_ref()) {
            writeln!(w, "          on {h}")?;
        }
        print_snapshots(w, v)?;
        print_audits(w, c, v)?;
        print_polls(w, v)?;
        print_connections(w, v)?;
        for (channel, to) in &v.fallbacks {
            writeln!(w, "          {channel} is probed at the start; if it is not served, {to} is taken")?;
        }
        print_twins(w, v)?;
        for l in &v.left_out {
            let symbols = l.symbols.join(", ");
            writeln!(
                w,
                "          warning: {} does not take {symbols}, left out of it alone: {}",
                l.channel, l.why
            )?;
        }
    }
    print_needs(w, c, p)
}

/// What first snapshots cost.
fn print_snapshots(w: &mut impl Write, v: &VenuePlan) -> io::Result<()> {
    let (shared, others) = match v.shares_with.as_slice() {
        [] => (String::new(), String::new()),
        with => {
            let with = with.join(", ");
            (format!(" together with {with}"), format!(" ({} with {with})", v.weight_snapshots_shared))
        }
    };
    match v.books.len() {
        0 => writeln!(
            w,
            "          REST: no book, so no snapshot to ask for; {} of weight a minute allowed{shared}",
            v.weight_allowed
        ),
        _ => writeln!(
            w,
            "          REST: {} of weight for all first snapshots{others}, {} a minute allowed{shared}: all books \
             asked for within {} s",
            v.weight_snapshots,
            v.weight_allowed,
            v.seconds_to_sync()
        ),
    }
}

/// Channels that bring the same events: twice the frames.
fn print_twins(w: &mut impl Write, v: &VenuePlan) -> io::Result<()> {
    for t in &v.twins {
        writeln!(
            w,
            "          warning: {} and {} both fill {}: an event that is the same on both has one row, so one lane reads the \
             whole venue; `raw` has all frames of both and says at (conn, rseq) of which stream a row is",
            t.own, t.market, t.table
        )?;
    }
    Ok(())
}

/// How often books are held against snapshots, and what it costs.
fn print_audits(w: &mut impl Write, c: &Config, v: &VenuePlan) -> io::Result<()> {
    let every = c.venues.iter().find(|x| x.id == v.venue.spec().id).map_or(0, |x| x.audit_every_ns);
    if every == 0 || v.books.is_empty() {
        return Ok(());
    }
    let (all, allowed) = (i64::from(v.weight_snapshots), i64::from(v.weight_allowed / 4).max(1));
    let a_minute = (i128::from(all) * i128::from(NS_PER_MIN) + i128::from(every - 1)) / i128::from(every);
    let slow = match a_minute > i128::from(allowed) {
        true => format!(", so that a round takes {} min", all.div_euclid(allowed) + 1),
        false => String::new(),
    };
    writeln!(
        w,
        "          audits: each book every {} ({a_minute} of weight a minute), while less than {allowed} is used{slow}",
        span(every)
    )
}

/// What is asked for again and again, and what it costs.
fn print_polls(w: &mut impl Write, v: &VenuePlan) -> io::Result<()> {
    if v.polls.is_empty() {
        return Ok(());
    }
    let each: Vec<String> = v
        .polls
        .iter()
        .map(|p| {
            let of = if p.poll.per_symbol { " and symbol" } else { "" };
            format!("{} every {} ({} of weight{of})", p.name, span(p.every_ns), p.poll.weight)
        })
        .collect();
    writeln!(w, "          by REST: {}", each.join(", "))?;
    writeln!(
        w,
        "          REST: {} of weight a minute for these, {} allowed; snapshots go first",
        v.weight_polls, v.weight_polls_allowed
    )?;
    match v.polls_symbols_most {
        Some(most) => writeln!(
            w,
            "          a rule chooses the symbols: up to {most} of them are asked for at this pace, more of them less \
             often, all alike"
        ),
        None => Ok(()),
    }
}

/// Whether connections are replaced by their age: where the venue ends them at one, or the configuration says so.
fn rotates(v: &VenuePlan) -> bool {
    let s = v.venue.spec();
    s.conn_age_max_s != u32::MAX || v.rotate_after_ns != i64::from(s.rotate_after_s) * NS_PER_S
}

/// Connections, their legs and their age.
fn print_connections(w: &mut impl Write, v: &VenuePlan) -> io::Result<()> {
    let (s, fail) = if v.conns == 1 { ("", "it fails") } else { ("s", "they fail") };
    let conns = format!("{} connection{s}", v.conns);
    let after = match rotates(v) {
        true => format!("after {}", span(v.rotate_after_ns)),
        false => format!("only when {fail}: the venue has no age limit"),
    };
    let slow = match v.seconds_to_connect() {
        1 => String::new(),
        s => format!(", open within {s} s by the venue's limit of new ones"),
    };
    if v.legs < 2 {
        return writeln!(w, "          {conns}{slow}, replaced {after}");
    }
    writeln!(
        w,
        "          {conns}{slow}: each stream over {} legs, which are replaced {after}, not together",
        v.legs
    )?;
    if v.is_standby() {
        writeln!(
            w,
            "          its ids may end with their connection: a book follows one leg, the other stands by; the book goes on with \
             it if a snapshot has shown that both count alike, else it is begun anew there"
        )?;
    }
    Ok(())
}

/// Memory, disk, and the address of the status.
fn print_needs(w: &mut impl Write, c: &Config, p: &Plan) -> io::Result<()> {
    let m = &p.memory;
    writeln!(
        w,
        "memory    about {}: rings {}, converter {}, books {}, connections {}, rest {}",
        out::bytes(m.total()),
        out::bytes(m.rings),
        out::bytes(m.converter),
        out::bytes(m.books),
        out::bytes(m.connections),
        out::bytes(m.base)
    )?;
    writeln!(
        w,
        "disk      up to {} a day, if every symbol is as busy as BTCUSDT; quiet ones need a hundredth",
        out::bytes(p.disk_per_day_max)
    )?;
    match c.capture.disk_reserve {
        0 => writeln!(w, "reserve   none: a full disk is waited for while the rings hold")?,
        n => writeln!(
            w,
            "reserve   {} of disk; books go below 5 % free, trades last (`disk_reserve`)",
            out::bytes(n)
        )?,
    }
    match &c.http {
        Some(h) => writeln!(w, "http      {}: /livez /readyz /metrics /status /events", h.listen),
        None => writeln!(w, "http      off"),
    }
}

fn to_json(c: &Config, p: &Plan, rules: &Rules) -> Value {
    let lanes: Vec<Value> = p
        .lanes
        .iter()
        .map(|l| {
            let conns: Vec<Value> = l
                .conns
                .iter()
                .map(|(v, leg, c)| {
                    let names: Vec<&str> = c.streams.iter().map(|s| s.name.as_str()).collect();
                    let venue = p.venues[*v].venue.spec().id;
                    json!({"venue": venue, "leg": leg, "url": c.url, "streams": names})
                })
                .collect();
            json!({"lane": l.lane, "core": l.core, "connections": conns})
        })
        .collect();
    let venues: Vec<Value> = p
        .venues
        .iter()
        .map(|v| {
            json!({
                "venue": v.venue.spec().id,
                "streams": v.streams.len(),
                "legs": v.legs,
                "standby": v.is_standby(),
                "connections": v.conns,
                "seconds_to_connect": v.seconds_to_connect(),
                "books": v.books,
                "symbols_by_rule": rules.get(v.venue.spec().id).map(ByRule::to_json),
                "rest_weight_snapshots": v.weight_snapshots,
                "rest_weight_per_minute": v.weight_allowed,
                "rest_weight_shared_with": v.shares_with,
                "rest_weight_snapshots_shared": v.weight_snapshots_shared,
                "seconds_to_sync": v.seconds_to_sync(),
                "rotate_after_ns": rotates(v).then_some(v.rotate_after_ns),
                "fallbacks": v.fallbacks,
                "twins": v.twins,
                "left_out": v.left_out,
                "polls": v.polls.iter().map(|p| json!({
                    "name": p.name, "every_ns": p.every_ns, "weight": p.poll.weight, "per_symbol": p.poll.per_symbol,
                    "table": p.poll.kind.table(),
                })).collect::<Vec<_>>(),
                "rest_weight_polls": v.weight_polls,
                "rest_weight_polls_allowed": v.weight_polls_allowed,
                "polls_symbols_most": v.polls_symbols_most,
            })
        })
        .collect();
    let warnings: Vec<String> = cores::refused(&p.lanes).into_iter().map(|(_, why)| why).collect();
    json!({
        "config": c,
        "config_sha256": c.sha256(),
        "lanes": lanes,
        "warnings": warnings,
        "venues": venues,
        "memory_bytes": p.memory,
        "memory_bytes_total": p.memory.total(),
        "disk_bytes_per_day_max": p.disk_per_day_max,
    })
}
