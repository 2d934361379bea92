//! Trades that gaps have lost are asked for by REST, page by page, within the budget and behind snapshots. Which of them
//! are new, and what the gap's row says of it, is the fold's to decide: bodies are records of the lane like any other.

use super::*;
use crate::fold::Wanted;
use crate::model::{
    Dec, DecodeCtx, Event, InstrumentId, InstrumentRef, StreamInfo, TimerEvent, TradesRequest,
};
use crate::venue::{Scratch, Venue};

/// Answers that are asked for one gap. Longer ones are recovered in part, from their beginning.
const PAGES_MAX: u32 = 20;
/// Failures in a row after which a gap is given up.
const FAILURES_MAX: u32 = 5;
/// A gap that waits so long for the budget is given up: a second one may wait behind it. Waiting for an answer to another gap
/// of its stream is not counted: that comes to an end by itself.
const PATIENCE_NS: i64 = 600 * S;
/// The wait after a first failure.
const RETRY_NS: i64 = 2 * S;
/// So long after an answer nobody asks again for what stood in it: the fold has told it by then.
const HEARD_NS: i64 = 2 * S;
/// Gaps that wait at once, over all venues; others are taken when there is room.
const JOBS_MAX: usize = 1024;

/// What a gap's row says where the older trades want a key.
const TOO_OLD: &str =
    "without a key the venue serves its latest 1000 trades only, and they do not reach back so far";

/// One gap whose trades are asked for.
#[derive(Debug)]
pub(super) struct BackfillJob {
    lane: LaneId,
    wanted: Wanted,
    venue: usize,
    /// The next id to ask for.
    from: i64,
    pages: u32,
    failures: u32,
    /// From when on it waits for the budget, or goes on page by page (monotonic ns).
    since: i64,
    state: JobState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JobState {
    /// To be asked for from then on (monotonic ns).
    Due(i64),
    /// A request is under way.
    Asked,
    /// Its lane was told that there is no more.
    Over,
}

/// What an answer says of the ids in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Page {
    trades: usize,
    /// −1 = there is none.
    least: i64,
    greatest: i64,
}

impl Page {
    const NONE: Page = Page { trades: 0, least: -1, greatest: -1 };
}

/// Hears trades and keeps nothing but their ids.
struct Ids(Page);

impl DecodeCtx for Ids {
    fn stream(&mut self, _: &str) -> Option<StreamInfo> {
        None
    }

    fn peek(&mut self, _: &[u8]) -> Option<StreamInfo> {
        None
    }

    fn enter(&mut self, _: &StreamInfo) {}

    fn stream_of(&mut self, _: StreamKind, _: &str) -> Option<StreamInfo> {
        None
    }

    fn instrument(&mut self, _: &str) -> Option<InstrumentRef> {
        Some(InstrumentRef { id: InstrumentId(0), price_exp: 0, size_exp: 0 })
    }

    fn widen(&mut self, id: InstrumentId, price_exp: u8, size_exp: u8) -> InstrumentRef {
        InstrumentRef { id, price_exp, size_exp }
    }

    fn narrow(&mut self, id: InstrumentId, (price_exp, size_exp): (u8, u8), _: (u8, u8)) -> InstrumentRef {
        InstrumentRef { id, price_exp, size_exp }
    }

    fn contract_size(&self, _: InstrumentId) -> Dec {
        Dec::NONE
    }

    fn event(&mut self, event: Event<'_>) {
        if let Event::Trade(t) = event {
            let id = if t.chain_id >= 0 { t.chain_id } else { t.id };
            let p = &mut self.0;
            p.least = if p.trades == 0 { id } else { p.least.min(id) };
            (p.trades, p.greatest) = (p.trades + 1, p.greatest.max(id));
        }
    }
}

/// Reads what an answer's ids are. Numbers that do not fit so many decimals do not matter here.
fn page(venue: &dyn Venue, wanted: &Wanted, body: &[u8]) -> Result<Page, crate::model::Reject> {
    let mut ids = Ids(Page::NONE);
    match venue.decode_trades(&mut Scratch::default(), &wanted.symbol, body, &mut ids) {
        Err(e) if ids.0.trades == 0 => Err(e),
        _ => Ok(ids.0),
    }
}

/// The request for trades from an id on, or for the latest ones where that wants a key and there is none.
fn request_of(
    venue: &dyn Venue,
    has_key: bool,
    kind: StreamKind,
    symbol: &str,
    from: i64,
) -> Option<TradesRequest> {
    match has_key || !venue.trades_need_key(kind) {
        true => venue.trades_request(kind, symbol, from),
        false => venue.latest_trades_request(kind, symbol),
    }
}

impl BackfillJob {
    /// Whether it is this gap's, of which less may be missing by now.
    fn is_for(&self, lane: LaneId, w: &Wanted) -> bool {
        let of = |w: &Wanted| (w.ts_begin, w.seq_before);
        self.lane == lane
            && of(&self.wanted) == of(w)
            && self.wanted.stream == w.stream
            && self.wanted.venue == w.venue
    }

    /// Whether it is of the same stream.
    fn is_beside(&self, other: &BackfillJob) -> bool {
        self.venue == other.venue && self.lane == other.lane && self.wanted.stream == other.wanted.stream
    }

    /// What follows from an answer: the next page, or why there is none.
    fn answered(&mut self, request: &TradesRequest, page: Page, now: i64) -> Result<(), &'static str> {
        self.failures = 0;
        self.pages += 1;
        if !request.by_id
            && self.wanted.kind.is_chained()
            && (page.trades == 0 || page.least > self.wanted.first)
        {
            return Err(TOO_OLD);
        }
        if !request.by_id || page.trades < request.most || page.greatest >= self.wanted.last {
            return Err("");
        }
        if self.pages >= PAGES_MAX {
            return Err("so long a gap is asked for in part only");
        }
        if page.greatest < self.from {
            return Err("the venue answers with other ids than those asked for");
        }
        self.from = page.greatest + 1;
        self.state = JobState::Due(now);
        Ok(())
    }

    fn is_tired(&self, now: i64) -> bool {
        now - self.since > PATIENCE_NS
    }

    fn failed(&mut self, now: i64) -> Result<(), &'static str> {
        self.failures += 1;
        if self.failures >= FAILURES_MAX {
            return Err("the venue did not answer");
        }
        self.state = JobState::Due(now + (RETRY_NS << (self.failures - 1)));
        Ok(())
    }
}

/// Whether a gap's turn has come: an answer that is under way for another gap of its stream may have its trades, too.
fn is_due(jobs: &mut [BackfillJob], n: usize, now: i64) -> bool {
    if !matches!(jobs[n].state, JobState::Due(at) if at <= now) {
        return false;
    }
    let waits = jobs.iter().any(|other| other.state == JobState::Asked && other.is_beside(&jobs[n]));
    if waits {
        jobs[n].since = now;
    }
    !waits
}

/// Gaps of the same stream whose trades stand in an answer wait until it is heard: they are over then.
fn wait_for_it(jobs: &mut [BackfillJob], n: usize, page: Page, now: i64) {
    let has = |w: &Wanted| page.trades > 0 && page.least <= w.first && w.last <= page.greatest;
    for k in (0..jobs.len()).filter(|k| *k != n) {
        if jobs[k].is_beside(&jobs[n])
            && has(&jobs[k].wanted)
            && let JobState::Due(at) = jobs[k].state
        {
            jobs[k].state = JobState::Due(at.max(now + HEARD_NS));
        }
    }
}

impl Control {
    /// The kinds of a venue's trades that can be asked for, as the configuration wants it.
    pub(super) fn backfill_kinds(&self, v: usize) -> Vec<StreamKind> {
        let venue = &self.venues[v];
        let kinds = [StreamKind::AggTrade, StreamKind::Trade, StreamKind::TradeSparse];
        let can = |k: &StreamKind| request_of(venue.plan.venue, venue.key.is_some(), *k, "X", 0).is_some();
        if venue.plan.config.backfill { kinds.into_iter().filter(can).collect() } else { Vec::new() }
    }

    /// What the converter's folds miss now.
    pub(super) fn hear_missed(&mut self, now: i64) {
        let Some(list) = self.parts.missed.newer(&mut self.missed_seen) else { return };
        self.backfills.retain(|j| list.iter().any(|(lane, w)| j.is_for(*lane, w)));
        for missed in list {
            if self.backfills.len() >= JOBS_MAX
                || self.backfills.iter().any(|j| j.is_for(missed.0, &missed.1))
            {
                continue;
            }
            let (lane, wanted) = missed;
            let Some(venue) = self.venue_ix(wanted.venue).filter(|v| !self.venues[*v].gone) else { continue };
            let from = wanted.first;
            self.backfills.push(BackfillJob {
                lane,
                wanted,
                venue,
                from,
                pages: 0,
                failures: 0,
                since: now,
                state: JobState::Due(now),
            });
        }
    }

    /// Asks for the next page of the gap that waits longest.
    pub(super) fn backfill_due(&mut self, now: i64) {
        if self.under_way >= polls::UNDER_WAY {
            return;
        }
        for n in 0..self.backfills.len() {
            if !is_due(&mut self.backfills, n, now) {
                continue;
            }
            let j = &self.backfills[n];
            if j.is_tired(now) {
                self.backfill_ends(n, "the budget left too little room in ten minutes");
                continue;
            }
            let (v, wanted) = (j.venue, &j.wanted);
            let group = self.venues[v].group;
            let (venue, has_key) = (self.venues[v].plan.venue, self.venues[v].key.is_some());
            let Some(r) = request_of(venue, has_key, wanted.kind, &wanted.symbol, j.from) else {
                self.backfill_ends(n, "the venue has no such answer");
                continue;
            };
            match self.groups[group].budget.grant(now, r.weight, Priority::Audit) {
                // Others of its budget wait as well.
                Grant::WaitUntil(at) => self.backfills[n].state = JobState::Due(at),
                Grant::Granted => {
                    let (lane, gap) = (j.lane, Box::new(wanted.clone()));
                    if self.get(v, Purpose::Trades { lane, gap }, r.path) {
                        self.under_way += 1;
                        self.backfills[n].state = JobState::Asked;
                    } else {
                        self.backfills[n].state = JobState::Due(now + S);
                    }
                    return;
                }
            }
        }
    }

    /// An answer: a record of its lane, and perhaps the last one.
    pub(super) fn trades(
        &mut self,
        v: usize,
        (lane, gap): (LaneId, &Wanted),
        path: &str,
        result: Result<RestResponse, RestError>,
    ) {
        self.under_way = self.under_way.saturating_sub(1);
        let now = clock::mono_ns();
        let at = self.backfills.iter().position(|j| j.is_for(lane, gap) && j.state == JobState::Asked);
        let verdict = at.map(|n| {
            let (venue, has_key) = (self.venues[v].plan.venue, self.venues[v].key.is_some());
            let j = &self.backfills[n];
            let request = request_of(venue, has_key, j.wanted.kind, &j.wanted.symbol, j.from);
            let well = result
                .as_ref()
                .ok()
                .filter(|r| r.status == 200 && venue.refusal(r.status, &r.body).is_none());
            match (well, request) {
                (Some(r), Some(request)) => match page(venue, &j.wanted, &r.body) {
                    Ok(page) => {
                        wait_for_it(&mut self.backfills, n, page, now);
                        self.backfills[n].answered(&request, page, now)
                    }
                    Err(_) => Err("the venue's answer could not be read"),
                },
                _ => self.backfills[n].failed(now),
            }
        });
        self.hand_over(v, lane, path, result);
        if let (Some(n), Some(Err(why))) = (at, verdict) {
            self.backfill_ends(n, why);
        }
    }

    /// The lane hears that no more will come: its gap's row is due, behind the bodies that it was sent.
    fn backfill_ends(&mut self, n: usize, why: &str) {
        let j = &mut self.backfills[n];
        j.state = JobState::Over;
        let (lane, wanted) = (j.lane, &j.wanted);
        if !why.is_empty() {
            tracing::warn!(
                venue = wanted.venue,
                stream = wanted.stream,
                why,
                "trades of a gap are not recovered whole"
            );
        }
        let t = TimerEvent::Backfilled {
            venue: wanted.venue.to_owned(),
            stream: wanted.stream.clone(),
            ts_begin: wanted.ts_begin,
            seq_before: Some(wanted.seq_before),
            why: why.to_owned(),
        };
        self.order(lane, ToLane::Timer(t));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(first: i64, last: i64) -> BackfillJob {
        let wanted = Wanted {
            venue: "binance-usdm",
            stream: "btcusdt@aggTrade".to_owned(),
            symbol: "BTCUSDT".to_owned(),
            kind: StreamKind::AggTrade,
            first,
            last,
            ts_begin: 7,
            seq_before: first - 1,
        };
        let (lane, venue, from, state) = (1, 0, first, JobState::Asked);
        BackfillJob { lane, wanted, venue, from, pages: 0, failures: 0, since: 0, state }
    }

    fn request() -> TradesRequest {
        TradesRequest { path: String::new(), weight: 20, most: 3, by_id: true }
    }

    #[test]
    fn pages_go_on_until_the_gap_s_end_or_the_venue_s() {
        let mut j = job(100, 109);
        assert_eq!(j.answered(&request(), Page { trades: 3, least: 4, greatest: 102 }, 5), Ok(()));
        assert_eq!((j.from, j.state), (103, JobState::Due(5)));
        assert_eq!(
            j.answered(&request(), Page { trades: 2, least: 4, greatest: 104 }, 6),
            Err(""),
            "it has no more"
        );
        let mut j = job(100, 102);
        assert_eq!(j.answered(&request(), Page { trades: 3, least: 4, greatest: 102 }, 5), Err(""));
        let mut j = job(100, 109);
        let other = j.answered(&request(), Page { trades: 3, least: 4, greatest: 50 }, 5);
        assert!(other.is_err_and(|why| why.contains("other ids")), "no endless circle");
    }

    #[test]
    fn two_gaps_that_begin_at_one_time_are_asked_for_each() {
        let (a, b) = (job(100, 109), job(111, 115));
        assert_eq!(a.wanted.ts_begin, b.wanted.ts_begin);
        assert!(!a.is_for(1, &b.wanted) && !a.is_for(2, &a.wanted));
        let less = Wanted { first: 105, ..a.wanted.clone() };
        assert!(a.is_for(1, &less), "the same gap, half filled");
    }

    #[test]
    fn what_stands_in_an_answer_is_not_asked_for_again() {
        let of = |first, last, state| BackfillJob { state, ..job(first, last) };
        let due = JobState::Due(5);
        let mut other = of(105, 106, due);
        other.wanted.stream = "ethusdt@aggTrade".to_owned();
        let mut jobs = vec![of(100, 101, JobState::Asked), of(105, 106, due), other, of(105, 2000, due)];
        jobs[3].wanted.seq_before = 1;
        let turns = |jobs: &mut [BackfillJob], now| [1, 2, 3].map(|n| is_due(jobs, n, now));
        assert_eq!(turns(&mut jobs, 4), [false; 3]);
        assert_eq!(turns(&mut jobs, 5), [false, true, false], "an answer is under way for this stream");
        wait_for_it(&mut jobs, 0, Page { trades: 1000, least: 100, greatest: 1099 }, 7);
        jobs[0].state = JobState::Over;
        assert_eq!(turns(&mut jobs, 7), [false, true, true]);
        assert_eq!(turns(&mut jobs, 7 + HEARD_NS), [true; 3], "it was not told after all");
    }

    #[test]
    fn only_the_wait_for_the_budget_tires() {
        let of = |first, state| BackfillJob { state, ..job(first, first + 5) };
        let mut jobs = vec![of(100, JobState::Asked), of(200, JobState::Due(0)), of(300, JobState::Due(0))];
        jobs[2].wanted.stream = "ethusdt@aggTrade".to_owned();
        let late = PATIENCE_NS + 1;
        assert!(
            !is_due(&mut jobs, 1, late) && !jobs[1].is_tired(late),
            "an answer to the first one is awaited"
        );
        assert!(is_due(&mut jobs, 2, late) && jobs[2].is_tired(late));
        jobs[0].state = JobState::Over;
        assert!(is_due(&mut jobs, 1, late + 1) && !jobs[1].is_tired(late + 1));
        assert!(jobs[1].is_tired(late + late));
    }

    #[test]
    fn very_long_gaps_and_silent_venues_come_to_an_end() {
        let mut j = job(0, i64::MAX);
        let mut pages = 0;
        let why = loop {
            pages += 1;
            if let Err(why) =
                j.answered(&request(), Page { trades: 3, least: j.from, greatest: j.from + 2 }, 0)
            {
                break why;
            }
        };
        assert!(pages == PAGES_MAX && why.contains("in part"), "{pages} {why}");
        let mut j = job(0, 5);
        let waits: Vec<_> = (0..FAILURES_MAX).map(|_| j.failed(0).map(|()| j.state)).collect();
        assert_eq!(waits[..2], [Ok(JobState::Due(2 * S)), Ok(JobState::Due(4 * S))]);
        assert_eq!(waits.last(), Some(&Err("the venue did not answer")));
    }

    #[test]
    fn without_a_key_the_latest_ones_are_asked_for_and_what_they_do_not_reach_is_said() {
        let (_, v) = crate::venue::by_id("binance-usdm").unwrap();
        let of = |has_key| request_of(v, has_key, StreamKind::Trade, "BTCUSDT", 100).unwrap();
        assert!(of(true).by_id && of(true).path.contains("historicalTrades"));
        let latest = of(false);
        assert_eq!(latest.path, "/fapi/v1/trades?symbol=BTCUSDT&limit=1000");
        let mut j = job(100, 109);
        j.wanted.kind = StreamKind::Trade;
        let page = |least| Page { trades: 1000, least, greatest: least + 999 };
        assert_eq!(j.answered(&latest, page(90), 5), Err(""), "all that there is");
        assert_eq!(j.answered(&latest, page(100), 5), Err(""));
        assert_eq!(j.answered(&latest, page(101), 5), Err(TOO_OLD));
        assert_eq!(j.answered(&latest, Page::NONE, 5), Err(TOO_OLD));
        // Where ids skip nobody knows the first one that is missing: the fold says whether the answer reaches back.
        j.wanted.kind = StreamKind::TradeSparse;
        assert_eq!(j.answered(&latest, page(500), 5), Err(""));
    }

    #[test]
    fn an_answer_s_ids_are_read_whatever_its_numbers_are() {
        let (_, v) = crate::venue::by_id("binance-usdm").unwrap();
        let of = |body: &str| page(v, &job(0, 9).wanted, body.as_bytes());
        let row = |a: i64| format!(r#"{{"a":{a},"p":"61800.20","q":"0.001","f":1,"l":2,"T":5,"m":true}}"#);
        let body = format!("[{},{},{{}}]", row(9_007_199_254_740_993), row(4));
        assert_eq!(of(&body), Ok(Page { trades: 2, least: 4, greatest: 9_007_199_254_740_993 }));
        assert_eq!(of("[]"), Ok(Page::NONE));
        assert!(of("{\"code\":-1121,\"msg\":\"Invalid symbol.\"}").is_err() && of("<html>").is_err());
    }
}
