//! The listening itself: sockets, requests beside them, until the time is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::chain::Place;
use super::reading::Instruments;
use super::rest::{AnswerSeen, Ask, ClockSeen, Snap, Worker};
use super::watch::Watch;
use super::{Args, First, streams};
use crate::cli::asking::Asker;
use crate::cli::{Fault, out};
use crate::model::{ConnPlan, Hosts, SnapshotSource, StreamKind, Tuning};
use crate::venue::Venue;
use crate::wire::reader::{ConnectRequest, Reader, ReaderConfig};
use crate::wire::{clock, resolve, url};

const S: i64 = 1_000_000_000;
/// The clock is asked this often.
const CLOCK_EVERY: i64 = 10 * S;
/// Snapshots of each book.
const SNAPSHOTS: i64 = 3;
/// An answer that names nothing is waited for so long.
const ANSWER_WITHIN: i64 = 5 * S;

/// How a snapshot fits.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotSeen {
    /// Whose book.
    pub symbol: String,
    /// Held against the diffs of this stream.
    pub stream: String,
    /// Its id.
    pub id: i64,
    /// Levels of both sides.
    pub levels: usize,
    /// ms from the request to the whole answer.
    pub took_ms: f64,
    /// `fits`, `too old`, `no diff yet`, `broken`.
    pub verdict: &'static str,
    /// Where it stands.
    pub place: String,
}

/// All that was seen.
pub struct Seen {
    pub watch: Watch,
    pub answers: Vec<AnswerSeen>,
    pub clock: Vec<ClockSeen>,
    pub snapshots: Vec<SnapshotSeen>,
    pub skipped: Vec<(String, String)>,
    pub requests_skipped: usize,
    /// How long we listened, s.
    pub listened_s: f64,
    /// Loopback only: a simulator.
    pub is_local: bool,
}

struct Session<'a> {
    venue: &'static dyn Venue,
    reader: Reader,
    watch: Watch,
    rest: Worker,
    plans: Vec<ConnPlan>,
    /// Topics of each connection that are still to be subscribed to, where only one message may wait.
    topics: Vec<Vec<usize>>,
    asked_at: Vec<i64>,
    symbols: &'a [String],
    begun: i64,
    end: i64,
    clock_at: i64,
    rounds: i64,
    /// Streams whose snapshots were asked for by message, and when.
    in_band: Vec<(usize, i64)>,
    snaps: Vec<Snap>,
    seen_answers: Vec<AnswerSeen>,
    seen_clock: Vec<ClockSeen>,
    requests_skipped: usize,
}

/// Listens.
///
/// # Errors
/// The kernel gives no sockets or threads.
pub fn run(
    venue: &'static dyn Venue,
    asker: Asker,
    args: &Args,
    hosts: &Hosts,
    first: &First,
    stop: &AtomicBool,
) -> anyhow::Result<Seen> {
    let wanted = streams::wanted(venue, &first.symbols, &args.channels);
    let plans = streams::connections(venue, &wanted.streams, hosts);
    let begun = clock::mono_ns();
    let mut s = Session {
        venue,
        reader: Reader::new(ReaderConfig::default()).map_err(Fault::io)?,
        watch: Watch::new(venue, Instruments::of(&first.listed)),
        rest: Worker::start(asker, first.listed.clone()).map_err(Fault::io)?,
        topics: Vec::new(),
        asked_at: Vec::new(),
        plans,
        symbols: &first.symbols,
        begun,
        end: begun + i64::try_from(args.seconds).unwrap_or(i64::MAX / S).saturating_mul(S),
        clock_at: begun,
        rounds: 0,
        in_band: Vec::new(),
        snaps: Vec::new(),
        seen_answers: Vec::new(),
        seen_clock: Vec::new(),
        requests_skipped: 0,
    };
    s.open(args)?;
    for (poll, name, symbol) in wanted.polls {
        if !s.rest.ask(Ask::Poll(poll, name, symbol)) {
            s.requests_skipped += 1;
        }
    }
    let mut progress = out::Progress::new(args.json);
    while clock::mono_ns() < s.end && !stop.load(Ordering::Relaxed) {
        s.turn()?;
        progress.show(|| s.status());
    }
    progress.clear();
    Ok(s.close(wanted.skipped))
}

impl Session<'_> {
    fn open(&mut self, args: &Args) -> anyhow::Result<()> {
        let tls = args.reach.tls()?;
        let proxy = args.reach.proxy.as_deref();
        let in_turn = self.venue.spec().topics_per_message > 0;
        for (n, plan) in self.plans.iter().enumerate() {
            self.watch.connection(&plan.url, &plan.streams, clock::mono_ns());
            let topics: Vec<usize> = self.watch.conns[n].streams.iter().map(|s| s.0).collect();
            self.topics.push(if in_turn { topics } else { Vec::new() });
            self.asked_at.push(0);
            let target = url::Target::parse(&plan.url).map_err(Fault::usage)?;
            let addrs = match proxy {
                None => resolve::resolve(&target.host, target.port),
                Some(p) => via(p),
            };
            let addrs = match addrs {
                Ok(a) => a,
                Err(e) => {
                    self.watch.conns[n].ended = Some(e.to_string());
                    continue;
                }
            };
            let request = ConnectRequest {
                proxy: proxy.map(|_| crate::wire::Proxy::default()),
                subscribe: if in_turn { Vec::new() } else { plan.subscribe.clone() },
                ..ConnectRequest::new(n as u64, plan.url.clone(), addrs, tls.clone(), self.venue.spec())
            };
            if let Err(e) = self.reader.open(request) {
                self.watch.conns[n].ended = Some(e.to_string());
            }
        }
        Ok(())
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        self.reader.poll_once(&mut self.watch, Duration::from_millis(50)).map_err(Fault::io)?;
        for (token, text) in std::mem::take(&mut self.watch.to_send) {
            self.reader.send(token, text);
        }
        let now = clock::mono_ns();
        self.subscribe_in_turn(now);
        if now >= self.clock_at {
            self.clock_at = now + CLOCK_EVERY;
            self.rest.ask(Ask::Clock);
        }
        // The first round when diffs flow, the last one early enough for diffs to follow it.
        let span = self.end - self.begun;
        if self.rounds < SNAPSHOTS && now >= self.begun + span / 4 + self.rounds * span / 4 {
            self.rounds += 1;
            self.ask_snapshots(now);
        }
        self.take();
        Ok(())
    }

    fn take(&mut self) {
        for got in self.rest.got().collect::<Vec<_>>() {
            self.got(got);
        }
        for (stream, id, levels, at) in std::mem::take(&mut self.watch.snapshots) {
            // Whole views that nobody asked for are none that was waited for.
            if let Some(i) = self.in_band.iter().position(|w| w.0 == stream) {
                let (_, sent) = self.in_band.remove(i);
                let symbol = self.watch.streams[stream].symbol.clone();
                self.snaps.push(Snap { symbol, stream: Some(stream), id, levels, sent, got: at });
            }
        }
    }

    fn got(&mut self, got: super::rest::Got) {
        if got.skipped {
            self.requests_skipped += 1;
            return;
        }
        self.seen_clock.extend(got.clock);
        self.snaps.extend(got.snapshot);
        self.seen_answers.push(got.answer);
    }

    /// Where answers name nothing, one topic a message and one message at a time.
    fn subscribe_in_turn(&mut self, now: i64) {
        for n in 0..self.topics.len() {
            let c = &mut self.watch.conns[n];
            if !c.open || self.topics[n].is_empty() {
                continue;
            }
            if !c.waiting.is_empty() {
                if now - self.asked_at[n] < ANSWER_WITHIN {
                    continue;
                }
                c.waiting.remove(0);
            }
            let stream = self.topics[n].remove(0);
            let name = self.watch.streams[stream].name.clone();
            let Some(text) = self.venue.subscribe_message(&[&name], &Tuning::default()) else { continue };
            self.watch.streams[stream].asked = now;
            self.watch.conns[n].waiting.push(stream);
            self.asked_at[n] = now;
            self.reader.send(n as u64, text);
        }
    }

    fn ask_snapshots(&mut self, now: i64) {
        if self.venue.spec().snapshot == SnapshotSource::Rest {
            for s in self.symbols {
                self.rest.ask(Ask::Snapshot(s.clone()));
            }
            return;
        }
        let Watch { conns, streams, .. } = &mut self.watch;
        for (n, conn) in conns.iter().enumerate().filter(|(_, c)| c.open) {
            for (at, s) in conn.streams.iter().filter(|(_, s)| s.kind == StreamKind::DepthDiff) {
                let Some(text) = self.venue.snapshot_message(s) else { continue };
                if self.reader.send(n as u64, text) {
                    self.in_band.push((*at, now));
                    streams[*at].awaited += 1;
                }
            }
        }
    }

    fn status(&self) -> String {
        let s = |ns: i64| ns / S;
        let open = self.watch.conns.iter().filter(|c| c.open).count();
        let spoke = self.watch.streams.iter().filter(|s| s.frames > 0).count();
        format!(
            "{:>3} of {} s: {open} of {} connections, {spoke} of {} streams spoke, {} frames",
            s(clock::mono_ns() - self.begun),
            s(self.end - self.begun),
            self.watch.conns.len(),
            self.watch.streams.len(),
            out::count(self.watch.frames)
        )
    }

    fn close(mut self, skipped: Vec<(String, String)>) -> Seen {
        let listened_s = (clock::mono_ns() - self.begun) as f64 / 1e9;
        for n in 0..self.plans.len() {
            self.reader.close(n as u64, 1000, "");
        }
        let until = clock::mono_ns() + 2 * S;
        while !self.reader.is_empty() && clock::mono_ns() < until {
            if self.reader.poll_once(&mut self.watch, Duration::from_millis(50)).is_err() {
                break;
            }
        }
        self.take();
        let idle = Worker::idle();
        for got in std::mem::replace(&mut self.rest, idle).end() {
            self.got(got);
        }
        self.watch.finish();
        let snapshots = self.places();
        let is_local = self.plans.iter().all(|p| p.url.starts_with("ws://"));
        Seen {
            watch: self.watch,
            answers: self.seen_answers,
            clock: self.seen_clock,
            snapshots,
            skipped,
            requests_skipped: self.requests_skipped,
            listened_s: (listened_s * 10.0).round() / 10.0,
            is_local,
        }
    }

    /// Each snapshot against each stream of diffs of its book; one that came by message against its own stream alone: ids of one
    /// family say nothing of another's.
    fn places(&self) -> Vec<SnapshotSeen> {
        let rule = &self.venue.spec().sequence;
        let mut all = Vec::new();
        for snap in &self.snaps {
            for (n, s) in self.watch.streams.iter().enumerate().filter(|(_, s)| s.frames > 0) {
                if s.symbol != snap.symbol || snap.stream.is_some_and(|own| own != n) {
                    continue;
                }
                let Some(d) = &s.diffs else { continue };
                let (verdict, place) = match d.place(snap.id, rule) {
                    Place::Fits(p) => ("fits", p),
                    Place::TooOld(p) => ("too old", format!("before the first diff: {p}")),
                    Place::NotYet => ("no diff yet", String::new()),
                    Place::Broken(p) => ("broken", p),
                };
                all.push(SnapshotSeen {
                    symbol: snap.symbol.clone(),
                    stream: s.name.clone(),
                    id: snap.id,
                    levels: snap.levels,
                    took_ms: ((snap.got - snap.sent) as f64 / 1e4).round() / 100.0,
                    verdict,
                    place,
                });
            }
        }
        all
    }
}

/// Addresses of a proxy.
fn via(proxy: &str) -> std::io::Result<Vec<std::net::SocketAddr>> {
    let host = proxy.rsplit('@').next().unwrap_or(proxy);
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "3128"));
    let port = port.parse().map_err(|_| {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("--proxy {host}: no port"))
    })?;
    resolve::resolve(name, port)
}
