//! The report: for people as Markdown, for programs as JSON. No key is in it, and its size has an end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::judge::{Finding, Weight, judge};
use super::rest::{AnswerSeen, ClockSeen};
use super::session::{Seen, SnapshotSeen};
use super::watch::{ConnSeen, Sample, StreamSeen};
use super::{Args, First};
use crate::cli::out;
use crate::model::SnapshotSource;
use crate::venue::Venue;

/// Bytes of the Markdown report; what is beyond stands in the JSON.
const MARKDOWN_MAX: usize = 200_000;

/// All that a probe found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of the program.
    pub version: &'static str,
    /// Venue slug.
    pub venue: &'static str,
    /// For people.
    pub title: &'static str,
    /// UTC.
    pub begun: String,
    /// How long it listened, s.
    pub listened_s: f64,
    /// Plain sockets on this machine: a simulator, not the venue.
    pub is_local: bool,
    /// What was probed.
    pub symbols: Vec<String>,
    /// REST base.
    pub rest: String,
    /// What was found.
    pub findings: Vec<Finding>,
    /// The venue's clock.
    pub clock: Vec<ClockSeen>,
    /// Listed instruments.
    pub instruments: usize,
    /// Elements of the list that could not be read.
    pub instruments_unreadable: usize,
    /// Weight per minute that the list states, 0 = none.
    pub weight_per_minute_stated: u32,
    /// Parts of the list that speak of limits, as sent.
    pub limits: Vec<(String, String)>,
    /// Connections.
    pub connections: Vec<ConnSeen>,
    /// Streams.
    pub streams: Vec<StreamSeen>,
    /// Snapshots against diffs.
    pub snapshots: Vec<SnapshotSeen>,
    /// Requests.
    pub requests: Vec<AnswerSeen>,
    /// Requests that the budget did not allow.
    pub requests_skipped: usize,
    /// Answers that accept a message of ours.
    pub acknowledgements: u64,
    /// Refusals that name no stream.
    pub refusals: Vec<String>,
    /// Events that nobody knows.
    pub unknown_events: BTreeMap<String, u64>,
    /// Frames of no stream that are not read.
    pub rejects: BTreeMap<String, u64>,
    /// Channels that could not be tried.
    pub skipped: Vec<(String, String)>,
    /// Payloads, cut short.
    pub samples: Vec<Sample>,
    #[serde(skip)]
    in_band: bool,
}

/// `lobtape-probe-VENUE-TIME.md`
pub fn default_path(venue: &str, begun: i64) -> PathBuf {
    let t = time(begun).replace(['-', ':'], "");
    PathBuf::from(format!("lobtape-probe-{venue}-{t}.md"))
}

fn time(ns: i64) -> String {
    let seconds = jiff::Timestamp::from_second(ns.div_euclid(1_000_000_000));
    seconds.map_or_else(|_| ns.to_string(), |t| t.to_string())
}

/// A URL without user and password. (Stream names in its path have an @, too.)
fn bare(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{scheme}://{host}{path}")
}

impl Report {
    /// Of all that was seen.
    pub fn new(venue: &'static dyn Venue, args: &Args, begun: i64, first: First, seen: Seen) -> Report {
        let spec = venue.spec();
        let w = seen.watch;
        let mut connections = w.conns;
        connections.iter_mut().for_each(|c| c.url = bare(&c.url));
        let mut r = Report {
            version: env!("CARGO_PKG_VERSION"),
            venue: spec.id,
            title: spec.title,
            begun: time(begun),
            listened_s: seen.listened_s,
            is_local: seen.is_local,
            symbols: first.symbols,
            rest: bare(args.reach.rest.as_deref().unwrap_or(spec.rest)),
            findings: Vec::new(),
            clock: seen.clock,
            instruments: first.listed.len(),
            instruments_unreadable: first.faulty,
            weight_per_minute_stated: first.weight_per_minute,
            limits: first.limits,
            connections,
            streams: w.streams,
            snapshots: seen.snapshots,
            requests: first.answers.into_iter().chain(seen.answers).collect(),
            requests_skipped: seen.requests_skipped,
            acknowledgements: w.accepted,
            refusals: w.refusals,
            unknown_events: w.events,
            rejects: w.rejects,
            skipped: seen.skipped,
            samples: w.samples,
            in_band: spec.snapshot == SnapshotSource::InBand,
        };
        r.findings = judge(venue, &r);
        r
    }

    /// Findings that count.
    pub fn differences(&self) -> usize {
        self.findings.iter().filter(|f| f.weight == Weight::Differs).count()
    }

    /// Whether anybody answered at all.
    pub fn was_reached(&self) -> bool {
        self.connections.iter().any(|c| c.opened_ms.is_some())
    }

    /// The clock sample with the least error.
    pub fn best_clock(&self) -> Option<ClockSeen> {
        self.clock.iter().copied().min_by(|a, b| a.round_trip_ms.total_cmp(&b.round_trip_ms))
    }

    /// A few lines for the terminal.
    pub fn summary(&self) -> String {
        let mut t = String::new();
        let frames: u64 = self.streams.iter().map(|s| s.frames).sum();
        let spoke = self.streams.iter().filter(|s| s.frames > 0).count();
        let _ = writeln!(
            t,
            "{}: {} s, {spoke} of {} streams spoke, {} frames",
            self.venue,
            self.listened_s,
            self.streams.len(),
            out::count(frames)
        );
        for f in self.findings.iter().filter(|f| f.weight == Weight::Differs).take(40) {
            let _ = writeln!(t, "differs {}: {}", f.about, f.what);
        }
        let (n, notes) = (self.differences(), self.findings.len() - self.differences());
        let _ = match (self.was_reached(), n) {
            (false, _) => write!(t, "the venue was not reached"),
            (true, 0) => write!(t, "all that was tried fits what is known; {notes} notes"),
            (true, n) => write!(t, "{n} things differ from what is known, {notes} notes"),
        };
        t
    }

    /// For people, at most [`MARKDOWN_MAX`] bytes.
    pub fn markdown(&self) -> String {
        let mut t = String::new();
        self.head(&mut t);
        self.about_ids(&mut t);
        self.about_streams(&mut t);
        self.about_connections(&mut t);
        self.about_requests(&mut t);
        self.about_samples(&mut t);
        if t.len() > MARKDOWN_MAX {
            let mut end = MARKDOWN_MAX;
            while !t.is_char_boundary(end) {
                end -= 1;
            }
            t.truncate(end);
            t.push_str("\n\n(cut here; the rest stands in the JSON beside this file)\n");
        }
        t
    }

    fn head(&self, t: &mut String) {
        let _ = writeln!(t, "# Probe of {} ({})\n", self.venue, self.title);
        let whom = if self.is_local { ", a simulator on this machine" } else { "" };
        let _ = writeln!(
            t,
            "lobtape {}, {} UTC, {} s{whom}. Symbols: {}. REST: `{}`.\n",
            self.version,
            self.begun,
            self.listened_s,
            self.symbols.join(", "),
            self.rest
        );
        let _ = writeln!(t, "{}\n", self.summary().lines().last().unwrap_or_default());
        let _ = writeln!(t, "## Findings\n");
        if self.findings.is_empty() {
            let _ = writeln!(t, "None.");
        }
        for f in &self.findings {
            let weight = if f.weight == Weight::Differs { "**differs**" } else { "note" };
            let _ = writeln!(t, "- {weight} `{}`: {}", f.about, cell(&f.what));
        }
        let _ = writeln!(t, "\n## Clock\n");
        match self.best_clock() {
            None => {
                let _ = writeln!(t, "The venue's clock was not read.");
            }
            Some(c) => {
                let offsets = || self.clock.iter().map(|c| c.offset_ms);
                let (low, high) = (offsets().fold(f64::MAX, f64::min), offsets().fold(f64::MIN, f64::max));
                let _ = writeln!(
                    t,
                    "Venue less ours: {} ms (round trip {} ms, the least of {} requests; offsets from {low} to {high} ms).",
                    c.offset_ms,
                    c.round_trip_ms,
                    self.clock.len()
                );
            }
        }
    }

    fn about_ids(&self, t: &mut String) {
        let _ = writeln!(
            t,
            "\n## Ids\n\n| stream | pairs | learned | broken | counter-examples |\n|---|---|---|---|---|"
        );
        for s in &self.streams {
            if let Some(d) = &s.diffs {
                let examples = d.examples.join("; ");
                let _ = writeln!(
                    t,
                    "| `{}` | {} | {} | {} | {examples} |",
                    s.name,
                    d.pairs,
                    d.learned(),
                    d.broken
                );
            }
            if let Some(x) = s.trades.as_ref().filter(|x| x.pairs > 0) {
                let examples = x.examples.join("; ");
                let learned = format!("id + 1 in {} of {}", x.next, x.pairs);
                let _ =
                    writeln!(t, "| `{}` | {} | {learned} | {} | {examples} |", s.name, x.pairs, x.broken());
            }
        }
        let by = if self.in_band { "by message" } else { "by REST" };
        let _ = writeln!(
            t,
            "\nSnapshots ({by}) against diffs:\n\n| stream | id | levels | took ms | verdict | where |\n|---|---|---|---|---|---|"
        );
        for s in self.snapshots.iter().take(100) {
            let _ = writeln!(
                t,
                "| `{}` | {} | {} | {} | {} | {} |",
                s.stream, s.id, s.levels, s.took_ms, s.verdict, s.place
            );
        }
    }

    fn about_streams(&self, t: &mut String) {
        let _ = writeln!(
            t,
            "\n## Streams\n\n| stream | conn | frames | first ms | every ms | delay ms | rows | read quick / otherwise | answer ms |\n\
             |---|---|---|---|---|---|---|---|---|"
        );
        let number = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
        for s in &self.streams {
            let rows: Vec<String> = s.rows.iter().map(|(k, n)| format!("{k} {n}")).collect();
            // A channel without a reader of its own shape is read by the general one, always.
            let how = match (s.quick, s.otherwise) {
                (0, 0) => "general reader".to_owned(),
                (quick, otherwise) => format!("{quick} / {otherwise}"),
            };
            let answer = match &s.refused {
                Some(why) => format!("refused: {}", cell(why)),
                None => number(s.acknowledged_ms),
            };
            let _ = writeln!(
                t,
                "| `{}` | {} | {} | {} | {} | {} | {} | {how} | {answer} |",
                s.name,
                s.connection,
                s.frames,
                number(s.first_ms),
                number(s.every_ms),
                number(s.delay_ms),
                rows.join(", ")
            );
        }
    }

    fn about_connections(&self, t: &mut String) {
        let _ = writeln!(t, "\n## Connections\n\nCompression was not offered (it never is).\n");
        for (n, c) in self.connections.iter().enumerate() {
            let opened = c.opened_ms.map_or("not opened".to_owned(), |x| format!("opened in {x} ms"));
            let url: String = c.url.chars().take(160).collect();
            let _ = writeln!(
                t,
                "- {n}: `{url}` {opened}; {} text and {} binary frames, {} of no stream; control pings of the venue at s {:?}; \
                 its pings as messages at s {:?}; our pings as messages {}, answered in ms {:?}; our control pings {}, answered {}; \
                 {} texts sent{}",
                c.texts,
                c.binaries,
                c.others,
                some(&c.pings_s),
                some(&c.message_pings_s),
                c.our_pings,
                some(&c.our_pings_answered_ms),
                c.probes.0,
                c.probes.1,
                c.sent,
                c.ended.as_ref().map_or(String::new(), |e| format!("; ended: {}", cell(e)))
            );
        }
        let _ = writeln!(t, "\nAcknowledgements: {}.", self.acknowledgements);
    }

    fn about_requests(&self, t: &mut String) {
        let _ = writeln!(t, "\n## Requests and limits\n");
        let stated = match self.weight_per_minute_stated {
            0 => "The list states no weight per minute".to_owned(),
            n => format!("The list states a weight of {n} per minute"),
        };
        let _ = writeln!(
            t,
            "{stated}; {} instruments, {} unreadable.\n",
            self.instruments, self.instruments_unreadable
        );
        for (name, text) in &self.limits {
            let _ = writeln!(t, "- `{name}`: `{}`", cell(text));
        }
        let _ = writeln!(
            t,
            "\n| request | status | took ms | bytes | rows | weight (ours) | used | headers of limits |\n|---|---|---|---|---|---|---|---|"
        );
        for a in self.requests.iter().take(200) {
            let headers: Vec<String> = a.limits.iter().map(|(k, v)| format!("{k}: {v}")).collect();
            let used = a.used_weight.map_or(String::new(), |u| u.to_string());
            let _ = writeln!(
                t,
                "| {} | {} | {} | {} | {} | {} | {used} | {} |",
                a.what,
                a.status,
                a.took_ms,
                a.bytes,
                a.rows,
                a.weight,
                cell(&headers.join(", "))
            );
        }
    }

    fn about_samples(&self, t: &mut String) {
        let _ = writeln!(t, "\n## Samples (cut short)\n");
        for s in &self.samples {
            let of = if s.stream.is_empty() { String::new() } else { format!(" on `{}`", s.stream) };
            let payload = s.payload.replace("```", "'''");
            let _ = writeln!(t, "{}{of}, {} bytes:\n\n```text\n{payload}\n```\n", cell(&s.why), s.bytes);
        }
    }
}

/// A text that breaks no table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// The first few of a list.
fn some(values: &[f64]) -> &[f64] {
    &values[..values.len().min(8)]
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn a_url_loses_its_user_and_nothing_else() {
        let streams = "ws://127.0.0.1:9443/stream?streams=btcusdt@trade/btcusdt@depth@100ms";
        assert_eq!(bare(streams), streams);
        assert_eq!(bare("wss://me:p@ss@host:9443/ws/btcusdt@trade"), "wss://host:9443/ws/btcusdt@trade");
        assert_eq!(bare("https://me:secret@host"), "https://host");
        assert_eq!(bare("https://me:secret@host?x=a@b"), "https://host?x=a@b");
        assert_eq!(bare("host"), "host");
    }
}
