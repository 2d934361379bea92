//! What comes over the sockets, frame by frame: counted, timed, held against the parser and the samples.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::chain::{Diffs, Steps};
use super::keys::Known;
use super::reading::{Instruments, Reading, Said, Word};
use crate::model::{Notice, StreamId, StreamKind, StreamSpec};
use crate::parse::Scratch;
use crate::venue::Venue;
use crate::wire::reader::{CloseInfo, Handler, Stamps};

/// Values kept to tell a median.
const TIMES_MAX: usize = 4096;
/// Frames of a stream whose keys are looked at, and after them each so many.
const KEYS_OF: u64 = 200;
const KEYS_EACH: u64 = 50;
/// Samples kept, and bytes of each.
const SAMPLES_MAX: usize = 60;
const SAMPLE_BYTES: usize = 2000;
/// Samples of one reason.
const SAMPLES_ALIKE: usize = 3;

/// A stream as it was seen.
#[derive(Debug, Serialize)]
pub struct StreamSeen {
    /// The venue's full name.
    pub name: String,
    /// Without the symbol.
    pub channel: String,
    /// As listed; "" for a whole market.
    pub symbol: String,
    /// The table that its rows go to.
    pub table: &'static str,
    /// What a capture would take instead.
    pub fallback: Option<&'static str>,
    /// Connection, by its place in the report.
    pub connection: usize,
    /// ms from the request to the answer, where the venue names the stream in it (or answers in order).
    pub acknowledged_ms: Option<f64>,
    /// How it was refused.
    pub refused: Option<String>,
    /// ms from the request to the first frame.
    pub first_ms: Option<f64>,
    /// Frames, but for answers.
    pub frames: u64,
    /// Snapshots that came because we asked for them: a stream that says nothing else is silent.
    pub answers: u64,
    /// Bytes of frames.
    pub bytes: u64,
    /// Median ms between two frames.
    pub every_ms: Option<f64>,
    /// Median ms from the venue's time to ours.
    pub delay_ms: Option<f64>,
    /// Rows by table.
    pub rows: BTreeMap<&'static str, u64>,
    /// What ids of diffs do.
    pub diffs: Option<Diffs>,
    /// What ids of trades do.
    pub trades: Option<Steps>,
    /// Whether there is a sample of its channel to hold keys against.
    pub sampled: bool,
    /// Keys that no sample has.
    pub new_keys: BTreeSet<String>,
    /// Frames that the parser refused, by reason.
    pub rejects: BTreeMap<String, u64>,
    /// Read by the reader of its shape.
    pub quick: u64,
    /// Read by the general reader although its shape is known.
    pub otherwise: u64,
    #[serde(skip)]
    pub kind: StreamKind,
    #[serde(skip)]
    pub asked: i64,
    /// Snapshots that were asked for on it and have not come.
    #[serde(skip)]
    pub awaited: u64,
    #[serde(skip)]
    last: i64,
    #[serde(skip)]
    steps: Vec<i64>,
    #[serde(skip)]
    delays: Vec<i64>,
}

/// A connection as it was seen.
#[derive(Debug, Default, Serialize)]
pub struct ConnSeen {
    /// Where to.
    pub url: String,
    /// ms until the handshake was done.
    pub opened_ms: Option<f64>,
    /// How it ended, if not by us.
    pub ended: Option<String>,
    /// Text and binary frames.
    pub texts: u64,
    /// Binary ones.
    pub binaries: u64,
    /// What binary frames begin with: JSON, gzip, zlib, other.
    pub forms: BTreeMap<&'static str, u64>,
    /// Frames of no stream: answers, notices, what else.
    pub others: u64,
    /// Control pings of the venue, s after the opening.
    pub pings_s: Vec<f64>,
    /// Pings of the venue as messages, s after the opening.
    pub message_pings_s: Vec<f64>,
    /// Pings of ours as messages.
    pub our_pings: u64,
    /// ms from such a ping to its answer.
    pub our_pings_answered_ms: Vec<f64>,
    /// Control pings of ours, and their answers.
    pub probes: (u64, u64),
    /// Texts that we sent, but pings.
    pub sent: u64,
    #[serde(skip)]
    pub begun: i64,
    #[serde(skip)]
    pub open: bool,
    #[serde(skip)]
    opened_at: i64,
    #[serde(skip)]
    pinged_at: i64,
    #[serde(skip)]
    pub streams: Vec<(usize, StreamSpec)>,
    /// Streams that wait for answers that name none, oldest first.
    #[serde(skip)]
    pub waiting: Vec<usize>,
}

/// A payload that was kept.
#[derive(Debug, Serialize)]
pub struct Sample {
    /// Why.
    pub why: String,
    /// Its stream, "" if none.
    pub stream: String,
    /// Its beginning; bytes that are no text in hex.
    pub payload: String,
    /// Bytes of the whole.
    pub bytes: usize,
}

/// All that is seen of the sockets.
pub struct Watch {
    venue: &'static dyn Venue,
    known: Known,
    scratch: Scratch,
    pub instruments: Instruments,
    pub streams: Vec<StreamSeen>,
    pub conns: Vec<ConnSeen>,
    pub samples: Vec<Sample>,
    /// Events that nobody knows, by name.
    pub events: BTreeMap<String, u64>,
    /// Frames refused that belong to no stream, by reason.
    pub rejects: BTreeMap<String, u64>,
    /// Answers of the venue that no sample has a stream for: codes with texts.
    pub refusals: Vec<String>,
    /// Answers that accept.
    pub accepted: u64,
    /// Snapshots that came over a socket: stream, id, levels, monotonic time.
    pub snapshots: Vec<(usize, i64, usize, i64)>,
    /// Texts to send.
    pub to_send: Vec<(u64, String)>,
    pub frames: u64,
}

fn ms(ns: i64) -> f64 {
    (ns as f64 / 1e4).round() / 100.0
}

fn median(values: &mut [i64]) -> Option<i64> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable(middle).1)
}

impl Watch {
    pub fn new(venue: &'static dyn Venue, instruments: Instruments) -> Watch {
        Watch {
            venue,
            known: Known::of(venue),
            scratch: Scratch::default(),
            instruments,
            streams: Vec::new(),
            conns: Vec::new(),
            samples: Vec::new(),
            events: BTreeMap::new(),
            rejects: BTreeMap::new(),
            refusals: Vec::new(),
            accepted: 0,
            snapshots: Vec::new(),
            to_send: Vec::new(),
            frames: 0,
        }
    }

    /// One more connection with its streams, begun at this time.
    pub fn connection(&mut self, url: &str, streams: &[StreamSpec], now: i64) {
        let connection = self.conns.len();
        let first = self.streams.len();
        self.streams.extend(streams.iter().map(|s| StreamSeen {
            name: s.name.clone(),
            channel: s.channel.clone(),
            symbol: s.symbol.clone().unwrap_or_default(),
            table: s.kind.table().unwrap_or("(raw only)"),
            fallback: self.venue.fallback(&s.channel),
            connection,
            acknowledged_ms: None,
            refused: None,
            first_ms: None,
            frames: 0,
            answers: 0,
            bytes: 0,
            every_ms: None,
            delay_ms: None,
            rows: BTreeMap::new(),
            diffs: (s.kind == StreamKind::DepthDiff).then(Diffs::default),
            trades: matches!(s.kind, StreamKind::Trade | StreamKind::AggTrade).then(Steps::default),
            sampled: self.known.has(&s.channel),
            new_keys: BTreeSet::new(),
            rejects: BTreeMap::new(),
            quick: 0,
            otherwise: 0,
            kind: s.kind,
            asked: now,
            awaited: 0,
            last: 0,
            steps: Vec::new(),
            delays: Vec::new(),
        }));
        let streams = streams.iter().cloned().enumerate().map(|(i, s)| (first + i, s)).collect();
        self.conns.push(ConnSeen { url: url.to_owned(), begun: now, streams, ..ConnSeen::default() });
    }

    /// Medians, once all is seen.
    pub fn finish(&mut self) {
        for s in &mut self.streams {
            s.every_ms = median(&mut s.steps).map(ms);
            s.delay_ms = median(&mut s.delays).map(ms);
        }
    }

    fn sample(&mut self, why: &str, stream: Option<usize>, payload: &[u8]) {
        let alike = self.samples.iter().filter(|s| s.why == why).count();
        if self.samples.len() >= SAMPLES_MAX || alike >= SAMPLES_ALIKE {
            return;
        }
        let head = &payload[..payload.len().min(SAMPLE_BYTES)];
        let text = match std::str::from_utf8(head) {
            Ok(t) => t.to_owned(),
            // A character may be cut in the middle.
            Err(e) if e.valid_up_to() + 4 > head.len() => {
                String::from_utf8_lossy(&head[..e.valid_up_to()]).into_owned()
            }
            Err(_) => head[..head.len() / 2].iter().map(|b| format!("{b:02x}")).collect(),
        };
        self.samples.push(Sample {
            why: why.to_owned(),
            stream: stream.map_or(String::new(), |s| self.streams[s].name.clone()),
            payload: text,
            bytes: payload.len(),
        });
    }

    fn frame(&mut self, conn: usize, at: &Stamps, binary: bool, payload: &[u8]) {
        self.frames += 1;
        let streams = std::mem::take(&mut self.conns[conn].streams);
        let before = self.scratch.paths();
        let mut reading = Reading::new(&mut self.instruments, &streams);
        (reading.binary, reading.ts_recv) = (binary, at.ts_recv);
        let only = match streams.as_slice() {
            [one] => Some(&one.1),
            _ => None,
        };
        let result = self.venue.decode(&mut self.scratch, payload, only, &mut reading);
        let (words, entered) = (std::mem::take(&mut reading.words), reading.entered);
        let after = self.scratch.paths();
        let named = words.iter().map(|w| w.stream).find(|s| *s != StreamId::NONE);
        // An answer names a stream and is none of its frames.
        let answers = |w: &Word| matches!(w.said, Said::Reply(..) | Said::Notice(_));
        let is_answer = !words.is_empty() && words.iter().all(answers);
        let stream = entered.or(named.map(|s| s.0 as usize)).filter(|_| !is_answer);
        self.conns[conn].streams = streams;
        match stream {
            None => self.conns[conn].others += 1,
            Some(s) => {
                let s = &mut self.streams[s];
                s.quick += after.quick - before.quick;
                s.otherwise += after.fallback - before.fallback;
                let is_view = matches!(words.as_slice(), [Word { said: Said::Snapshot(..), .. }]);
                if is_view && s.awaited > 0 {
                    (s.awaited, s.answers) = (s.awaited - 1, s.answers + 1);
                } else {
                    s.seen(at, payload.len());
                }
            }
        }
        if let Err(reject) = result {
            let why = reject.to_string();
            let count = match stream {
                Some(s) => &mut self.streams[s].rejects,
                None => &mut self.rejects,
            };
            *count.entry(why.clone()).or_default() += 1;
            self.sample(&format!("refused by the parser: {why}"), stream, payload);
        }
        for w in &words {
            self.word(conn, at, w, payload);
        }
        self.keys(stream, payload);
    }

    fn word(&mut self, conn: usize, at: &Stamps, w: &Word, payload: &[u8]) {
        let seen = self.streams.get_mut(w.stream.0 as usize);
        match &w.said {
            Said::Reply(stream, refused, code, text) => {
                return self.reply(conn, at, *stream, *refused, *code, text, payload);
            }
            Said::Notice(n) => return self.notice(conn, at, *n, payload),
            Said::Other(_, name) => {
                let of_raw = seen.as_ref().is_some_and(|s| s.kind == StreamKind::RawOnly);
                if let Some(s) = seen {
                    *s.rows.entry(w.kind).or_default() += 1;
                }
                if !of_raw && !self.known.has_name(name) {
                    *self.events.entry(name.clone()).or_default() += 1;
                    let stream = (w.stream != StreamId::NONE).then_some(w.stream.0 as usize);
                    self.sample(&format!("an event that nobody knows: {name:?}"), stream, payload);
                }
                return;
            }
            Said::Snapshot(_, id, levels) if w.stream != StreamId::NONE => {
                self.snapshots.push((w.stream.0 as usize, *id, *levels, at.ts_mono));
            }
            Said::Snapshot(..) => {}
            Said::Diff(..) | Said::Trade(..) | Said::Row => {}
        }
        let rule = &self.venue.spec().sequence;
        let Some(s) = self.streams.get_mut(w.stream.0 as usize) else { return };
        *s.rows.entry(w.kind).or_default() += 1;
        if w.ts > 0 && s.delays.len() < TIMES_MAX {
            s.delays.push(at.ts_recv - w.ts);
        }
        match (&w.said, &mut s.diffs, &mut s.trades) {
            (Said::Diff(_, ids), Some(d), _) => d.push(*ids, rule),
            (Said::Trade(_, id), _, Some(t)) => t.push(*id),
            _ => {}
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one answer")]
    fn reply(
        &mut self,
        conn: usize,
        at: &Stamps,
        stream: StreamId,
        refused: bool,
        code: i64,
        text: &str,
        payload: &[u8],
    ) {
        let named = (stream != StreamId::NONE).then_some(stream.0 as usize);
        // Where answers name nothing they come in the order of the messages.
        let in_order = self.venue.spec().topics_per_message > 0;
        let waited =
            (in_order && !self.conns[conn].waiting.is_empty()).then(|| self.conns[conn].waiting.remove(0));
        let about = named.or(waited);
        self.accepted += u64::from(!refused);
        let why = format!("code {code} {text:?}");
        match about.and_then(|s| self.streams.get_mut(s)) {
            Some(s) if refused => s.refused = Some(why.clone()),
            Some(s) => {
                s.acknowledged_ms.get_or_insert(ms(at.ts_mono - s.asked));
            }
            None if refused && self.refusals.len() < 20 => self.refusals.push(why.clone()),
            None => {}
        }
        let what = if refused { "a refusal" } else { "an acknowledgement" };
        self.sample(what, about, payload);
    }

    fn notice(&mut self, conn: usize, at: &Stamps, n: Notice, payload: &[u8]) {
        let c = &mut self.conns[conn];
        let since = ((at.ts_mono - c.opened_at) as f64 / 1e8).round() / 10.0;
        match n {
            Notice::Ping => {
                c.message_pings_s.push(since);
                if let Some(pong) = self.venue.spec().heartbeat.pong {
                    self.to_send.push((conn as u64, pong.to_owned()));
                }
                self.sample("a ping as a message", None, payload);
            }
            Notice::Alive => {
                if c.pinged_at > 0 && c.our_pings_answered_ms.len() < 100 {
                    c.our_pings_answered_ms.push(ms(at.ts_mono - c.pinged_at));
                    c.pinged_at = 0;
                }
                self.sample("an answer to a ping, or a greeting", None, payload);
            }
            Notice::Listing => self.sample("the venue says that its list is another one", None, payload),
            Notice::Shutdown => self.sample("the venue says that it will close", None, payload),
        }
    }

    /// Keys of JSON that no sample has.
    fn keys(&mut self, stream: Option<usize>, payload: &[u8]) {
        let Some(at) = stream else { return };
        let s = &self.streams[at];
        let due = s.frames <= KEYS_OF || s.frames.is_multiple_of(KEYS_EACH);
        if !due || !s.sampled {
            return;
        }
        let Ok(v) = serde_json::from_slice(payload) else { return };
        let new = self.known.unknown(&s.channel, &v);
        let new: Vec<String> = new.into_iter().filter(|k| !s.new_keys.contains(k)).take(50).collect();
        if !new.is_empty() {
            self.sample(&format!("keys that no sample has: {}", new.join(", ")), stream, payload);
            self.streams[at].new_keys.extend(new);
        }
    }
}

impl StreamSeen {
    fn seen(&mut self, at: &Stamps, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
        self.first_ms.get_or_insert(ms(at.ts_mono - self.asked));
        if self.last > 0 && self.steps.len() < TIMES_MAX {
            self.steps.push(at.ts_mono - self.last);
        }
        self.last = at.ts_mono;
    }
}

/// What a binary frame begins with.
fn form(payload: &[u8]) -> &'static str {
    match payload {
        [b'{' | b'[', ..] => "JSON",
        [0x1f, 0x8b, ..] => "gzip",
        [0x78, 0x01 | 0x9c | 0xda, ..] => "zlib",
        _ => "other (protobuf?)",
    }
}

impl Handler for Watch {
    fn on_open(&mut self, token: u64, at: &Stamps) {
        let c = &mut self.conns[token as usize];
        c.opened_ms = Some(ms(at.ts_mono - c.begun));
        (c.open, c.opened_at) = (true, at.ts_mono);
    }

    fn on_message(&mut self, token: u64, at: &Stamps, binary: bool, payload: &[u8]) {
        let c = &mut self.conns[token as usize];
        if binary {
            c.binaries += 1;
            *c.forms.entry(form(payload)).or_default() += 1;
        } else {
            c.texts += 1;
        }
        self.frame(token as usize, at, binary, payload);
    }

    fn on_ping(&mut self, token: u64, at: &Stamps, _payload: &[u8]) {
        let c = &mut self.conns[token as usize];
        if c.pings_s.len() < 100 {
            c.pings_s.push(((at.ts_mono - c.opened_at) as f64 / 1e8).round() / 10.0);
        }
    }

    fn on_pong(&mut self, token: u64, _at: &Stamps, _payload: &[u8]) {
        self.conns[token as usize].probes.1 += 1;
    }

    fn on_probe(&mut self, token: u64, _at: &Stamps) {
        self.conns[token as usize].probes.0 += 1;
    }

    fn on_sent(&mut self, token: u64, at: &Stamps, text: &str) {
        let beat = self.venue.spec().heartbeat;
        let c = &mut self.conns[token as usize];
        if beat.ping.is_some_and(|p| p.0 == text) {
            c.our_pings += 1;
            c.pinged_at = at.ts_mono;
        } else if beat.pong != Some(text) {
            c.sent += 1;
        }
    }

    fn on_close(&mut self, token: u64, at: &Stamps, info: &CloseInfo) {
        let c = &mut self.conns[token as usize];
        c.open = false;
        if !info.by_us {
            let s = (at.ts_mono - c.begun) as f64 / 1e9;
            let reason = if info.reason.is_empty() { String::new() } else { format!(" {:?}", info.reason) };
            c.ended = Some(format!(
                "{} after {s:.1} s, close code {}{reason}, HTTP status {}: {}",
                info.cause.as_str(),
                info.code,
                info.http_status,
                info.detail
            ));
        }
    }
}
