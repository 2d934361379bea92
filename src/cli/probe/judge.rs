//! What of that which was seen is not as we know it.

use serde::Serialize;

use super::report::Report;
use super::session::SnapshotSeen;
use super::watch::{ConnSeen, StreamSeen};
use crate::model::{IdPolicy, StreamKind, VenueSpec};
use crate::venue::Venue;

/// How much a finding counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// It is not as the venue's page, or our parser, has it.
    Differs,
    /// Worth knowing.
    Note,
}

/// One thing that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// How much it counts.
    pub weight: Weight,
    /// A stream, a connection, a request.
    pub about: String,
    /// What.
    pub what: String,
}

/// Findings, the heavier first.
pub fn judge(venue: &dyn Venue, r: &Report) -> Vec<Finding> {
    let mut j = Judge { found: Vec::new() };
    let spec = venue.spec();
    for (n, c) in r.connections.iter().enumerate() {
        j.connection(n, c, spec, r.listened_s);
    }
    for s in &r.streams {
        j.silence(s, &r.streams, venue);
        j.frames(s, venue);
    }
    j.frames_of_none(r);
    j.snapshots(r, spec);
    j.requests(r, spec);
    j.found.sort_by_key(|f| f.weight);
    j.found
}

struct Judge {
    found: Vec<Finding>,
}

impl Judge {
    fn differs(&mut self, about: &str, what: impl Into<String>) {
        self.found.push(Finding { weight: Weight::Differs, about: about.to_owned(), what: what.into() });
    }

    fn note(&mut self, about: &str, what: impl Into<String>) {
        self.found.push(Finding { weight: Weight::Note, about: about.to_owned(), what: what.into() });
    }

    fn connection(&mut self, n: usize, c: &ConnSeen, spec: &VenueSpec, listened_s: f64) {
        let about = format!("connection {n}");
        if let Some(end) = &c.ended {
            let what = if c.opened_ms.is_some() { "it was closed" } else { "it did not open" };
            return self.differs(&about, format!("{what}: {end}"));
        }
        let pings = if c.pings_s.is_empty() { &c.message_pings_s } else { &c.pings_s };
        let documented = f64::from(spec.ping_interval_s);
        let steps: Vec<f64> = pings.windows(2).map(|w| w[1] - w[0]).collect();
        if !steps.is_empty() {
            let middle = steps.iter().sum::<f64>() / steps.len() as f64;
            if middle < documented / 2.0 || middle > documented * 2.0 {
                self.differs(&about, format!("the venue pings every {middle:.1} s; known is {documented} s"));
            }
        } else if spec.heartbeat.ping.is_none() && pings.is_empty() && listened_s > documented * 2.5 {
            self.differs(&about, format!("no ping in {listened_s} s; known is one every {documented} s"));
        }
        if c.our_pings > 1 && c.our_pings_answered_ms.is_empty() {
            self.differs(&about, format!("none of our {} pings (messages) was answered", c.our_pings));
        }
        if c.probes.0 > 1 && c.probes.1 == 0 {
            self.note(&about, format!("none of our {} control pings was answered", c.probes.0));
        }
        for (form, n) in &c.forms {
            self.note(&about, format!("{n} binary frames begin as {form}"));
        }
    }

    /// Streams that said nothing, or not at their pace.
    fn silence(&mut self, s: &StreamSeen, all: &[StreamSeen], venue: &dyn Venue) {
        let instead = |f: &str| format!("a capture would take {f} instead");
        match (&s.refused, s.fallback) {
            (Some(why), Some(f)) => return self.note(&s.name, format!("refused ({why}); {}", instead(f))),
            (Some(why), None) => return self.differs(&s.name, format!("refused: {why}")),
            (None, _) => {}
        }
        let lively = |s: &StreamSeen| matches!(s.kind, StreamKind::DepthDiff | StreamKind::BookTicker);
        let alive = |o: &StreamSeen| o.symbol == s.symbol && lively(o) && o.frames >= 5;
        let paced = venue.pace_s(&s.channel);
        if s.frames == 0 {
            let must = lively(s) || s.kind == StreamKind::DepthPartial || paced.is_some();
            return match s.fallback {
                Some(f) => self.note(&s.name, format!("silent; {}", instead(f))),
                None if must && all.iter().any(alive) => {
                    self.differs(&s.name, "silent, although the same market speaks on other streams");
                }
                None if paced.is_some() => {
                    self.differs(&s.name, "silent, although it speaks at a fixed pace")
                }
                None => self.note(&s.name, "silent: nothing happened, or it is not served"),
            };
        }
        let most = all.iter().filter(|o| o.symbol == s.symbol && o.kind == s.kind).map(|o| o.frames).max();
        if s.kind == StreamKind::DepthDiff
            && s.fallback.is_none()
            && s.frames == 1
            && most.is_some_and(|m| m >= 10)
        {
            let m = most.unwrap_or(0);
            self.differs(&s.name, format!("nearly silent: one frame, although another speed has {m}"));
        }
        if let (Some(pace), Some(every), true) = (paced, s.every_ms, s.frames >= 5) {
            let known = f64::from(pace) * 1000.0;
            if every < known / 2.0 || every > known * 2.0 {
                self.differs(&s.name, format!("a frame every {every} ms; known is one every {known} ms"));
            }
        }
    }

    /// What frames are against the parser, the samples and the rule of ids.
    fn frames(&mut self, s: &StreamSeen, venue: &dyn Venue) {
        for (why, n) in &s.rejects {
            self.differs(&s.name, format!("{n} of {} frames are not read: {why}", s.frames));
        }
        if !s.new_keys.is_empty() {
            let keys: Vec<&str> = s.new_keys.iter().map(String::as_str).take(30).collect();
            self.differs(&s.name, format!("keys that no sample has: {}", keys.join(", ")));
        }
        if s.otherwise > 0 {
            let n = s.otherwise;
            self.differs(&s.name, format!("{n} of {} frames are written otherwise than known", s.frames));
        }
        if !s.sampled && s.frames > 0 {
            self.note(&s.name, "there is no sample of this channel: its frames would make one");
        }
        let rule = &venue.spec().sequence;
        if let Some(d) = s.diffs.as_ref().filter(|d| d.pairs > 0) {
            if d.differs(rule) {
                self.differs(
                    &s.name,
                    format!(
                        "{} of {} pairs of diffs break the rule: {}",
                        d.broken,
                        d.pairs,
                        d.examples.join("; ")
                    ),
                );
            } else if rule.policy != IdPolicy::Strict {
                self.note(&s.name, format!("ids, to be learned: {}", d.learned()));
            }
        }
        if let Some(t) = s.trades.as_ref().filter(|t| t.broken() > 0) {
            let what = format!(
                "{} of {} steps of trade ids are not one: {}",
                t.broken(),
                t.pairs,
                t.examples.join("; ")
            );
            self.differs(&s.name, what);
        }
    }

    fn frames_of_none(&mut self, r: &Report) {
        for (name, n) in &r.unknown_events {
            self.differs("frames", format!("{n} events {name:?} that nobody knows"));
        }
        for (why, n) in &r.rejects {
            self.differs("frames", format!("{n} frames of no stream are not read: {why}"));
        }
        for why in &r.refusals {
            self.differs("messages", format!("a message of ours was refused: {why}"));
        }
        for (channel, why) in &r.skipped {
            self.note(channel, format!("not tried: {why}"));
        }
    }

    fn snapshots(&mut self, r: &Report, spec: &VenueSpec) {
        let strict = spec.sequence.policy == IdPolicy::Strict;
        let mut streams: Vec<&str> = r.snapshots.iter().map(|s| s.stream.as_str()).collect();
        streams.sort_unstable();
        streams.dedup();
        for stream in streams {
            let of: Vec<&SnapshotSeen> = r.snapshots.iter().filter(|s| s.stream == stream).collect();
            let with = |v: &str| of.iter().filter(|s| s.verdict == v).count();
            if let Some(broken) = of.iter().find(|s| s.verdict == "broken") {
                let what = format!("a snapshot of id {} is proven by no diff: {}", broken.id, broken.place);
                if strict { self.differs(stream, what) } else { self.note(stream, what) }
            } else if with("fits") == 0 {
                let n = of.len();
                let what = format!(
                    "none of {n} snapshots met a diff ({} too old, {} without a diff yet)",
                    with("too old"),
                    with("no diff yet")
                );
                self.note(stream, what);
            }
        }
        let books = r.streams.iter().filter(|s| s.diffs.as_ref().is_some_and(|d| d.pairs >= 10));
        let missing: Vec<String> = books
            .filter(|s| s.fallback.is_none() && !r.snapshots.iter().any(|n| n.stream == s.name))
            .map(|s| s.name.clone())
            .collect();
        for name in missing {
            self.note(&name, "no snapshot came to hold against it");
        }
    }

    fn requests(&mut self, r: &Report, spec: &VenueSpec) {
        for a in r.requests.iter().filter(|a| a.fault.is_some()) {
            let why = a.fault.as_deref().unwrap_or_default();
            self.differs(&a.what, format!("{} {why}", a.path.split('?').next().unwrap_or_default()));
        }
        if r.instruments_unreadable > 0 {
            self.differs(
                "instrument list",
                format!("{} elements could not be read", r.instruments_unreadable),
            );
        }
        let stated = r.weight_per_minute_stated;
        if stated > 0 && stated != spec.weight_per_minute {
            let known = spec.weight_per_minute;
            self.note(
                "limits",
                format!("the list states {stated} of weight a minute; until then we take {known}"),
            );
        }
        if r.requests_skipped > 0 {
            self.note(
                "requests",
                format!("{} were left out: the budget did not allow them", r.requests_skipped),
            );
        }
        if let Some(best) = r.best_clock()
            && best.offset_ms.abs() > best.round_trip_ms / 2.0 + 500.0
        {
            self.note("clock", format!("ours and the venue's are {} ms apart", best.offset_ms));
        }
    }
}
