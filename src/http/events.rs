//! `/events`: what the books just did, from the lanes' event rings. Whoever asks again with the `next` of the last answer
//! gets everything in between, or is told how many events he was too slow for.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Events;
use crate::bus::event::{LiveEvent, LiveKind, Received};
use crate::metrics::Shared;
use crate::model::LaneId;
use crate::model::num::write_plain;

/// Events of an answer if nobody says how many.
const USUAL: usize = 100;
/// Events of an answer at most.
const MOST: usize = 10_000;

/// Where events come from.
pub(super) struct Source {
    shared: Arc<Shared>,
    rings: Events,
}

impl Source {
    pub(super) fn new(shared: Arc<Shared>, rings: Events) -> Source {
        Source { shared, rings }
    }
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    /// Of this instrument alone, `"<venue>:<symbol>"`.
    instrument: Option<String>,
    /// `next` of the answer before; without it the newest events come.
    after: Option<String>,
    /// So many events at most.
    max: Option<usize>,
}

#[derive(Serialize)]
struct Answer {
    /// Ask with `after=` this for what comes next.
    next: String,
    /// Events that were overwritten before they could be read.
    missed: u64,
    events: Vec<Told>,
}

/// An event in words.
#[derive(Serialize)]
struct Told {
    kind: &'static str,
    instrument: String,
    ts_recv: i64,
    ts_event: i64,
    flags: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    bid: Option<[String; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ask: Option<[String; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
    /// Taker: 1 bought, −1 sold, 0 unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trade_id: Option<i64>,
}

impl Told {
    fn new(instrument: String, e: &LiveEvent) -> Told {
        let text = |m: i64, exp: u8| {
            let mut t = String::new();
            write_plain(&mut t, m, exp);
            t
        };
        let level = |p, s| (s != 0).then(|| [text(p, e.price_exp), text(s, e.size_exp)]);
        let (is_top, is_trade) = (e.kind == LiveKind::Top, e.kind == LiveKind::Trade);
        Told {
            kind: match e.kind {
                LiveKind::Top => "top",
                LiveKind::Trade => "trade",
                LiveKind::Synced => "synced",
                LiveKind::Stale => "stale",
            },
            instrument,
            ts_recv: e.ts_recv,
            ts_event: e.ts_event,
            flags: e.flags,
            bid: level(e.a, e.b).filter(|_| is_top),
            ask: level(e.c, e.d).filter(|_| is_top),
            price: is_trade.then(|| text(e.a, e.price_exp)),
            size: is_trade.then(|| text(e.b, e.size_exp)),
            side: is_trade.then_some(e.c),
            trade_id: is_trade.then_some(e.d),
        }
    }
}

/// Answers a question.
pub(super) fn answer(
    source: &Source,
    query: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let wanted = match query {
        Ok(Query(w)) => w,
        Err(e) => return refuse(&format!("{e}; there are instrument=, after= and max=")),
    };
    let after = match wanted.after.as_deref().map(places).transpose() {
        Ok(a) => a,
        Err(why) => return refuse(&why),
    };
    axum::Json(read(source, &wanted, after.as_ref())).into_response()
}

fn refuse(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response()
}

/// `lane:number,…` as `next` has it.
fn places(text: &str) -> Result<BTreeMap<LaneId, u64>, String> {
    let bad = || format!("after={text:?} is no `next` of an answer, as in after=1:2048,2:17");
    let one = |t: &str| {
        let (lane, n) = t.split_once(':')?;
        Some((lane.parse().ok()?, n.parse().ok()?))
    };
    text.split(',').map(|t| one(t).ok_or_else(bad)).collect()
}

fn read(source: &Source, wanted: &Wanted, after: Option<&BTreeMap<LaneId, u64>>) -> Answer {
    let max = wanted.max.unwrap_or(USUAL).clamp(1, MOST);
    let lanes = source.shared.lanes();
    let (mut events, mut next, mut missed) = (Vec::new(), Vec::new(), 0);
    for (id, ring) in &source.rings {
        let names = lanes.iter().find(|l| l.lane == *id).map(|l| l.instruments()).unwrap_or_default();
        // Without a place to go on from, one instrument's newest events may lie anywhere among the others'.
        let back = if wanted.instrument.is_some() { ring.capacity() } else { max } as u64;
        let place = after.map(|a| a.get(id).copied().unwrap_or(u64::MAX));
        let mut s = match place {
            Some(n) if n != u64::MAX => ring.subscribe_at(n),
            // A lane that the place does not name has had no events then.
            Some(_) => ring.subscribe(),
            None => ring.subscribe_last(back),
        };
        if let Some(n) = place.filter(|n| *n != u64::MAX) {
            missed += s.position().saturating_sub(n);
        }
        let mut of_lane = Vec::new();
        // No more than the ring holds: a lane that writes faster than this reads must not keep it here for ever.
        for _ in 0..ring.capacity() {
            if place.is_some() && of_lane.len() == max {
                break;
            }
            match s.recv() {
                None => break,
                Some(Received::Lost(n)) => missed += if place.is_some() { n } else { 0 },
                Some(Received::Event(_, e)) => {
                    let name = names.get(e.instrument as usize).cloned().unwrap_or_default();
                    if wanted.instrument.as_ref().is_none_or(|w| *w == name) {
                        of_lane.push(Told::new(name, &e));
                    }
                }
            }
        }
        if place.is_none() {
            of_lane.drain(..of_lane.len().saturating_sub(max));
        }
        events.append(&mut of_lane);
        next.push(format!("{id}:{}", s.position()));
    }
    source.shared.events_dropped.add(missed);
    Answer { next: next.join(","), missed, events }
}
