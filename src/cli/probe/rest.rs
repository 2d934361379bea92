//! The REST side of a probe: on a thread of its own, so that frames are read while an answer is on its way.

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Serialize;

use super::reading::{Instruments, Reading, Said};
use crate::cli::asking::{Answer, Asker, head};
use crate::model::{InstrumentVersion, Poll, RestRequest};
use crate::parse::Scratch;
use crate::wire::rest::RestResponse;

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Ask {
    /// The venue's clock.
    Clock,
    /// The snapshot of a symbol.
    Snapshot(String),
    /// Something that is polled, by its name in the configuration, of a symbol or ("") of the market.
    Poll(&'static Poll, String, String),
}

/// An answer as it was seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AnswerSeen {
    /// What it is.
    pub what: String,
    /// Path and query.
    pub path: String,
    /// HTTP status; 0 = no answer.
    pub status: u16,
    /// ms from request to the whole answer.
    pub took_ms: f64,
    /// Bytes of the body.
    pub bytes: usize,
    /// The venue's weight counter.
    pub used_weight: Option<u32>,
    /// The weight that we think it costs.
    pub weight: u32,
    /// Headers that speak of limits.
    pub limits: Vec<(String, String)>,
    /// Rows that the parser made of it.
    pub rows: usize,
    /// What is wrong.
    pub fault: Option<String>,
}

/// A sample of the venue's clock.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ClockSeen {
    /// The venue's time less ours in the middle of the request, ms.
    pub offset_ms: f64,
    /// ms for the round trip: the error is at most half of it.
    pub round_trip_ms: f64,
}

/// A snapshot: of whom, by which stream (`None` = by REST, of all of its book), which id, how many levels, and when it was asked for and there (monotonic ns).
#[derive(Clone, Debug)]
pub struct Snap {
    pub symbol: String,
    pub stream: Option<usize>,
    pub id: i64,
    pub levels: usize,
    pub sent: i64,
    pub got: i64,
}

/// What came of a request.
#[derive(Debug, Default)]
pub struct Got {
    pub answer: AnswerSeen,
    pub clock: Option<ClockSeen>,
    pub snapshot: Option<Snap>,
    /// The venue's budget did not allow it.
    pub skipped: bool,
}

/// The thread.
pub struct Worker {
    ask: Option<Sender<Ask>>,
    got: Receiver<Got>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts it.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(mut asker: Asker, listed: Vec<InstrumentVersion>) -> std::io::Result<Worker> {
        let (ask, todo) = bounded::<Ask>(256);
        let (tell, got) = bounded::<Got>(256);
        let work = move || {
            let mut instruments = Instruments::of(&listed);
            for ask in todo {
                if tell.send(one(&mut asker, &ask, &mut instruments)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("probe-rest".to_owned()).spawn(work)?;
        Ok(Worker { ask: Some(ask), got, thread: Some(thread) })
    }

    /// One that does nothing.
    pub fn idle() -> Worker {
        Worker { ask: None, got: bounded(0).1, thread: None }
    }

    /// Asks; `false` if too much waits already.
    pub fn ask(&self, what: Ask) -> bool {
        self.ask.as_ref().is_some_and(|a| a.try_send(what).is_ok())
    }

    /// What has come.
    pub fn got(&self) -> impl Iterator<Item = Got> + '_ {
        self.got.try_iter()
    }

    /// Waits for what is under way.
    pub fn end(mut self) -> Vec<Got> {
        drop(self.ask.take());
        let rest: Vec<Got> = self.got.iter().collect();
        if let Some(t) = self.thread.take() {
            // A panic there is a fault that its missing answers show.
            let _ = t.join();
        }
        rest
    }
}

fn one(asker: &mut Asker, ask: &Ask, instruments: &mut Instruments) -> Got {
    let venue = asker.venue;
    let (what, request) = match ask {
        Ask::Clock => ("clock".to_owned(), venue.time_request(crate::wire::clock::wall_ns() / 1_000_000)),
        Ask::Snapshot(s) => (format!("snapshot of {s}"), venue.snapshot_request(s)),
        Ask::Poll(p, name, s) => {
            let of = if s.is_empty() { String::new() } else { format!(" of {s}") };
            (format!("{name}{of}"), crate::venue::poll_request(p, name, s))
        }
    };
    let (mut answer, mut got) = seen(what, &request, asker.try_get(&request));
    if let (Ask::Clock, Some(other)) = (ask, venue.time_request_else())
        && got.as_ref().is_none_or(|r| venue.parse_time(&r.body).is_err())
        && answer.status != 0
    {
        // Which of the documents is right, the report shows by the path of the answer that is one.
        (answer, got) = seen("clock, by its other path".to_owned(), &other, asker.try_get(&other));
    }
    let Some(r) = got else { return Got { skipped: answer.fault.is_none(), answer, ..Got::default() } };
    let mut got = Got::default();
    let fault = match ask {
        Ask::Clock => match venue.parse_time(&r.body) {
            Ok(server) => {
                got.clock = Some(clock(&r, server));
                None
            }
            Err(e) => Some(e.to_string()),
        },
        Ask::Snapshot(symbol) => {
            let read = rows(&r, instruments, |s, ctx| venue.decode_snapshot(s, symbol, &r.body, ctx));
            read.and_then(|words| {
                let found = words.iter().find_map(|w| match w {
                    Said::Snapshot(_, id, levels) => Some((*id, *levels)),
                    _ => None,
                });
                let (id, levels) = found.ok_or_else(|| "no book in it".to_owned())?;
                answer.rows = levels;
                let symbol = symbol.clone();
                got.snapshot =
                    Some(Snap { symbol, stream: None, id, levels, sent: r.mono_sent, got: r.mono_recv });
                Ok(())
            })
            .err()
        }
        Ask::Poll(..) => {
            let read = rows(&r, instruments, |s, ctx| venue.decode_polled(s, &request.path, &r.body, ctx));
            read.map(|words| answer.rows = words.len()).err()
        }
    };
    if answer.fault.is_none() {
        answer.fault = fault.map(|f| format!("{f}: {:?}", head(&r.body)));
    }
    Got { answer, ..got }
}

/// An answer's figures, and the answer if there is one that is no refusal by its body.
pub fn seen(
    what: String,
    request: &RestRequest,
    got: Result<Option<Answer>, crate::wire::rest::RestError>,
) -> (AnswerSeen, Option<RestResponse>) {
    let (path, weight) = (request.path.clone(), request.weight);
    let blank = AnswerSeen { what, path, weight, ..AnswerSeen::default() };
    match got {
        Ok(None) => (blank, None),
        Err(e) => (AnswerSeen { fault: Some(e.to_string()), ..blank }, None),
        Ok(Some(a)) => {
            let fault = a.fault().map(|f| format!("status {f}"));
            let refused = a.refusal.is_some();
            let r = a.response;
            let answer = AnswerSeen {
                status: r.status,
                took_ms: ((r.mono_recv - r.mono_sent) as f64 / 1e4).round() / 100.0,
                bytes: r.body.len(),
                used_weight: r.used_weight,
                limits: r.limits.clone(),
                fault,
                ..blank
            };
            (answer, (!refused).then_some(r))
        }
    }
}

fn clock(r: &RestResponse, server: i64) -> ClockSeen {
    let middle = r.ts_sent + (r.ts_recv - r.ts_sent) / 2;
    let ms = |ns: i64| (ns as f64 / 1e4).round() / 100.0;
    ClockSeen { offset_ms: ms(server - middle), round_trip_ms: ms(r.mono_recv - r.mono_sent) }
}

fn rows(
    r: &RestResponse,
    instruments: &mut Instruments,
    read: impl FnOnce(&mut Scratch, &mut Reading<'_>) -> Result<(), crate::model::Reject>,
) -> Result<Vec<Said>, String> {
    // One body at a time, and few: a reader of its own costs nothing that counts.
    let mut scratch = Scratch::default();
    let mut reading = Reading::new(instruments, &[]);
    reading.ts_recv = r.ts_recv;
    read(&mut scratch, &mut reading).map_err(|e| e.to_string())?;
    Ok(reading.words.into_iter().map(|w| w.said).collect())
}
