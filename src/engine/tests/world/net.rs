//! What lies between the recorder and the venue: connections with their delays, requests with theirs.

use std::collections::{BTreeMap, VecDeque};

use crossbeam_channel::{Receiver, Sender};

use super::ledger::{Ledger, Seen};
use super::process::Side;
use super::time::{self, MS};
use crate::engine::messages::{OpenLink, ToLane};
use crate::engine::rest::{Done, Job, Purpose};
use crate::model::{ConnId, GapCause};
use crate::simulator::CutHow;
use crate::simulator::by_hand_tests::{Got, Venue};
use crate::wire::reader::{CloseInfo, ClosePhase, ConnectRequest, Handler, Stamps};
use crate::wire::rest::{RestError, RestResponse};

/// Reads of one connection in one go: TCP gives the others their turn.
const BATCH: usize = 64;

struct Link {
    /// Its number at the venue, once it is there.
    no: Option<u64>,
    target: String,
    texts: Vec<String>,
    open_at: i64,
    inbox: VecDeque<(i64, Got)>,
    heard: i64,
    probed: bool,
    /// Nothing heard for so long: a ping; for so long: the connection is given up.
    patience: (i64, i64),
    delay: i64,
    rseq: i64,
    /// We end it: then, unless it ends by itself before.
    leave_at: Option<i64>,
    stalled: bool,
}

/// Status, body, used weight, seconds to wait; or why there is nothing.
type Reply = Result<(u16, Vec<u8>, Option<u32>, Option<u32>), String>;

struct Answer {
    at: i64,
    venue: usize,
    purpose: Purpose,
    path: String,
    begun: (i64, i64),
    result: Reply,
}

/// The network as one process sees it.
pub struct Net {
    jobs: Receiver<Job>,
    done: Sender<Done>,
    answers: Vec<Answer>,
    links: BTreeMap<(usize, ConnId), Link>,
    rng: fastrand::Rng,
    /// Requests break with this probability, per thousand.
    pub break_requests: u32,
}

fn ended(cause: GapCause, phase: ClosePhase, detail: &str) -> CloseInfo {
    CloseInfo {
        cause,
        phase,
        code: 0,
        reason: String::new(),
        http_status: 0,
        retry_after_s: 0,
        answered: false,
        by_us: false,
        detail: detail.to_owned(),
    }
}

impl Net {
    pub fn new(jobs: Receiver<Job>, done: Sender<Done>, seed: u64) -> Net {
        let rng = fastrand::Rng::with_seed(seed);
        Net { jobs, done, answers: Vec::new(), links: BTreeMap::new(), rng, break_requests: 0 }
    }

    /// An order to a lane that concerns its sockets.
    pub fn order(&mut self, n: usize, side: &mut Side, order: ToLane, venue: &mut Venue) {
        match order {
            ToLane::Open(link, request) => self.open(n, side, link, *request),
            ToLane::Close { conn, why } => {
                side.lane.order(&mut side.reader, ToLane::Close { conn, why });
                if let Some(l) = self.links.get_mut(&(n, conn)) {
                    l.leave_at = Some(time::now() + self.rng.i64(1..30) * MS);
                }
            }
            ToLane::Send { conn, text } => {
                if let Some(no) = self.links.get(&(n, conn)).and_then(|l| l.no) {
                    venue.say(no, &text);
                    side.lane.on_sent(conn as u64, &Stamps::now(), &text);
                }
            }
            other => side.lane.order(&mut side.reader, other),
        }
    }

    fn open(&mut self, n: usize, side: &mut Side, link: Box<OpenLink>, request: ConnectRequest) {
        let target = request.url.splitn(4, '/').nth(3).map_or_else(|| "/".to_owned(), |p| format!("/{p}"));
        let l = Link {
            no: None,
            target,
            texts: request.subscribe,
            open_at: time::now() + self.rng.i64(2..60) * MS,
            inbox: VecDeque::new(),
            heard: 0,
            probed: false,
            patience: (request.probe_after.as_nanos() as i64, request.dead_after.as_nanos() as i64),
            delay: self.rng.i64(0..40) * MS,
            rseq: 0,
            leave_at: None,
            stalled: false,
        };
        self.links.insert((n, link.conn), l);
        side.lane.adopt(link);
    }

    /// Everything that is due on the connections of a lane.
    pub fn serve(&mut self, n: usize, side: &mut Side, venue: &mut Venue, ledger: &mut Ledger) {
        let keys: Vec<(usize, ConnId)> = self.links.keys().filter(|k| k.0 == n).copied().collect();
        for key in keys {
            if let Some(info) = self.serve_one(key, side, venue, ledger) {
                side.lane.on_close(key.1 as u64, &Stamps::now(), &info);
                if let Some(no) = self.links.remove(&key).and_then(|l| l.no) {
                    venue.leave(no);
                }
            }
        }
    }

    /// The end of the connection, if this was it.
    fn serve_one(
        &mut self,
        key: (usize, ConnId),
        side: &mut Side,
        venue: &mut Venue,
        ledger: &mut Ledger,
    ) -> Option<CloseInfo> {
        let now = time::now();
        let l = self.links.get_mut(&key)?;
        let token = key.1 as u64;
        let Some(no) = l.no else {
            if l.leave_at.is_some() {
                let ours = ended(GapCause::Operator, ClosePhase::Connect, "closed by command");
                return Some(CloseInfo { by_us: true, ..ours });
            }
            if now < l.open_at {
                return None;
            }
            l.no = venue.open(&l.target);
            let Some(no) = l.no else {
                return Some(ended(GapCause::VenueDisconnect, ClosePhase::Connect, "reset"));
            };
            l.heard = now;
            side.lane.on_open(token, &Stamps::now());
            for t in &l.texts {
                venue.say(no, t);
                side.lane.on_sent(token, &Stamps::now(), t);
            }
            return None;
        };
        let got = venue.take(no);
        if got.iter().any(|g| matches!(g, Got::Cut(CutHow::Rst))) && self.rng.bool() {
            // A reset throws away what was not read.
            l.inbox.clear();
        }
        l.inbox.extend(got.into_iter().map(|g| (now + l.delay, g)));
        if let Some(end) = deliver(l, key, no, side, venue, ledger) {
            return Some(end);
        }
        if l.leave_at.is_some_and(|at| now >= at) {
            let ours = ended(GapCause::Operator, ClosePhase::Open, "closed by command");
            // What is still under way comes before the peer's answer.
            while let Some((_, g)) = l.inbox.pop_front() {
                l.inbox.push_front((now, g));
                if let Some(end) = deliver(l, key, no, side, venue, ledger) {
                    return Some(CloseInfo { by_us: true, cause: GapCause::Operator, ..end });
                }
            }
            return Some(CloseInfo { by_us: true, answered: true, ..ours });
        }
        let silent = now - l.heard;
        if silent >= l.patience.1 && l.inbox.is_empty() {
            return Some(ended(GapCause::StaleTimeout, ClosePhase::Open, "silent"));
        }
        if silent >= l.patience.0 && !std::mem::replace(&mut l.probed, true) {
            venue.ping(no);
        }
        None
    }

    /// Jobs of control are taken, and what is due of their answers is given.
    pub fn ask(&mut self, venue: &mut Venue) {
        while let Ok(job) = self.jobs.try_recv() {
            match job {
                Job::Resolve { venue, conn, port, .. } => {
                    let at = std::net::SocketAddr::from(([127, 0, 0, 1], port));
                    self.done.send(Done::Resolved { venue, conn, result: Ok(vec![at]) }).unwrap();
                }
                Job::Get { venue: v, purpose, path, .. } => {
                    let a = venue.get(&path);
                    let header =
                        |k: &str| a.headers.iter().find(|h| h.0 == k).and_then(|h| h.1.parse::<u32>().ok());
                    let (used, wait) = (header("x-mbx-used-weight-1m"), header("retry-after"));
                    let broken = a.cut || self.rng.u32(0..1000) < self.break_requests;
                    let result = match broken {
                        true => Err("the connection broke".to_owned()),
                        false => Ok((a.status, a.body, used, wait)),
                    };
                    let now = Stamps::now();
                    self.answers.push(Answer {
                        at: time::now() + (a.delay_ms as i64 + self.rng.i64(1..80)) * MS,
                        venue: v,
                        purpose,
                        path,
                        begun: (now.ts_recv, now.ts_mono),
                        result,
                    });
                }
            }
        }
        let now = time::now();
        let (due, later) = std::mem::take(&mut self.answers).into_iter().partition(|a: &Answer| a.at <= now);
        self.answers = later;
        for a in due {
            self.done.send(a.given()).unwrap();
        }
    }

    /// Number of connections that carry messages now.
    pub fn open_links(&self) -> usize {
        self.links.values().filter(|l| l.no.is_some()).count()
    }
}

impl Answer {
    fn given(self) -> Done {
        let now = Stamps::now();
        let result = match self.result {
            Ok((status, body, used_weight, retry_after_s)) => Ok(RestResponse {
                status,
                body,
                used_weight,
                retry_after_s,
                location: None,
                limits: Vec::new(),
                ts_sent: self.begun.0,
                mono_sent: self.begun.1,
                ts_recv: now.ts_recv,
                mono_recv: now.ts_mono,
            }),
            Err(why) => Err(RestError::Transport { url: self.path.clone(), why }),
        };
        let Answer { venue, purpose, path, begun, .. } = self;
        Done::Got { venue, purpose, path, mono_sent: begun.1, result }
    }
}

fn deliver(
    l: &mut Link,
    key: (usize, ConnId),
    no: u64,
    side: &mut Side,
    venue: &mut Venue,
    ledger: &mut Ledger,
) -> Option<CloseInfo> {
    let now = time::now();
    let token = key.1 as u64;
    for _ in 0..BATCH {
        if l.inbox.front().is_none_or(|(at, _)| *at > now) {
            return None;
        }
        if !side.lane.may_read() {
            l.stalled = true;
            return None;
        }
        let (_, got) = l.inbox.pop_front()?;
        (l.heard, l.probed) = (now, false);
        let at = Stamps { ts_kernel: Stamps::now().ts_recv, stalled: l.stalled, ..Stamps::now() };
        match got {
            Got::Message { binary, payload } => {
                side.lane.on_message(token, &at, binary, &payload);
                let seen = Seen {
                    lane_seq: side.monitor.last_lane_seq(),
                    conn: key.1,
                    rseq: l.rseq,
                    crc: crc32fast::hash(&payload),
                    at: now,
                };
                ledger.frame(side.id, seen);
                l.rseq += 1;
                l.stalled = false;
            }
            Got::Ping(p) => {
                side.lane.on_ping(token, &at, &p);
                venue.pong(no);
            }
            Got::Pong(p) => side.lane.on_pong(token, &at, &p),
            Got::Close(code, reason) => {
                let e = ended(GapCause::VenueDisconnect, ClosePhase::Open, "close frame");
                return Some(CloseInfo { code, reason, answered: true, ..e });
            }
            Got::Cut(how) => return Some(ended(GapCause::VenueDisconnect, ClosePhase::Open, how.as_str())),
        }
    }
    None
}
