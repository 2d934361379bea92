//! Delivery, and what faults do to it: every frame of every subscription passes here.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use super::config::SimConfig;
use super::faults::{CutHow, FaultKind, FaultSpec, from_hex};
use super::outbound::{Conn, End, Message, PING};
use super::rng::mix;
use super::text::{int, key_int, key_str, put};
use super::world::{Hold, Stream, Sub, World};

/// A fault of frames that waits for its frame.
struct Armed {
    spec: FaultSpec,
    /// Matching frames that pass first, so that not always the same stream is hit.
    skip: u64,
}

/// Faults with their clocks.
pub(super) struct Strikes {
    seed: u64,
    /// With a time: next strike, ms after the first subscription; `None` = done.
    planned: Vec<(FaultSpec, Option<u64>)>,
    /// Per frame, at random: position in the configuration, fault.
    random_frames: Vec<(usize, FaultSpec)>,
    /// Per second, at random.
    random_seconds: Vec<(usize, FaultSpec)>,
    armed: Vec<Armed>,
    /// Diffs that are to lack a level.
    pub omits: Vec<FaultSpec>,
    /// Diffs that are to leave a book crossed, and the bids that did, by stream.
    pub crosses: Vec<FaultSpec>,
    pub crossed: Vec<(usize, i64)>,
    /// Frames of these symbols (`None` = all) are lost until then.
    gaps: Vec<(Option<String>, Option<u64>, i64)>,
    /// Streams that say nothing until then.
    mutes: Vec<(FaultSpec, i64)>,
    /// Connections are refused until then.
    pub refuse_until: i64,
    /// The venue closes the connections up to this number then: those that have heard of it.
    shutdowns: Vec<(i64, u64)>,
    /// Whether some subscription may hold frames back.
    holding: bool,
    /// No more faults.
    quiet: bool,
    strikes: u64,
}

impl Strikes {
    pub fn new(cfg: &SimConfig) -> Strikes {
        let mut s = Strikes {
            seed: cfg.seed,
            planned: Vec::new(),
            random_frames: Vec::new(),
            random_seconds: Vec::new(),
            armed: Vec::new(),
            omits: Vec::new(),
            crosses: Vec::new(),
            crossed: Vec::new(),
            gaps: Vec::new(),
            mutes: Vec::new(),
            refuse_until: i64::MIN,
            shutdowns: Vec::new(),
            holding: false,
            quiet: false,
            strikes: 0,
        };
        for (ix, f) in cfg.faults.iter().enumerate().filter(|(_, f)| f.kind != FaultKind::NonAscii) {
            match f.probability {
                None => s.planned.push((f.clone(), Some(f.at_ms.unwrap_or(0)))),
                Some(_) if f.kind.hits_frames() => s.random_frames.push((ix, f.clone())),
                Some(_) => s.random_seconds.push((ix, f.clone())),
            }
        }
        s
    }

    fn touches_frames(&self) -> bool {
        !(self.armed.is_empty()
            && self.random_frames.is_empty()
            && self.gaps.is_empty()
            && self.mutes.is_empty())
    }
}

/// How a cut ends a connection.
fn end_of(spec: &FaultSpec, until: i64) -> End {
    let code = spec.code.and_then(|c| u16::try_from(c).ok());
    match spec.how {
        CutHow::Close => End::Close(code.unwrap_or(1006), String::new()),
        how => End::Cut(how, until),
    }
}

/// What happens to one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pass,
    Drop(FaultKind),
    Twice,
    After,
    /// A made-up frame goes first.
    Preceded(FaultKind),
}

impl World {
    /// Hands the message in `out` to all subscriptions of a stream.
    pub(super) fn spread(&mut self, ix: usize) {
        let touched = self.strikes.touches_frames();
        let d = self.shape.d;
        let World { streams, out, oracle, strikes, stats, symbols, cfg, now, .. } = self;
        let st = &mut streams[ix];
        let (log, full) = (oracle.on(), cfg.oracle_payload);
        let Stream { name, safe, place, symbol, chained, subs, .. } = st;
        let symbol = symbol.map(|s| symbols[s].def.symbol.as_str());
        for sub in subs {
            sub.ordinal += 1;
            let mut fate = Fate::Pass;
            if touched || sub.struck.is_some() {
                fate = strikes.fate(sub, name, *place, symbol, *chained, *now);
            }
            if fate == Fate::Pass && sub.hold == Hold::No {
                let m =
                    Message { stream: safe, data: &out.data, line: &out.line, fault: None, dropped: false };
                sub.conn.push(m, log, full);
                sub.told = true;
                continue;
            }
            let m = |fault| Message { stream: safe, data: &out.data, line: &out.line, fault, dropped: false };
            match fate {
                Fate::Drop(kind) => {
                    stats.dropped.fetch_add(1, Ordering::Relaxed);
                    sub.conn.push(Message { dropped: true, ..m(Some(kind.as_str())) }, log, full);
                    continue;
                }
                Fate::After if sub.hold == Hold::No => {
                    sub.hold = Hold::Next;
                    strikes.holding = true;
                    sub.held.push((out.data.clone(), out.line.clone()));
                    continue;
                }
                Fate::Preceded(FaultKind::ErrorReply) => {
                    let text = super::dress::error_reply(d);
                    let fault = Some(FaultKind::ErrorReply.as_str());
                    let m = Message { stream: "", data: text.as_bytes(), line: &[], fault, dropped: false };
                    sub.conn.push(m, log, full);
                }
                Fate::Preceded(kind @ (FaultKind::Gzip | FaultKind::Zlib | FaultKind::Binary)) => {
                    let combined = sub.conn.side.borrow().combined;
                    sub.conn.push_raw(&super::dress::dressed(kind, combined.then_some(&**safe), &out.data));
                }
                Fate::Preceded(kind) => {
                    let data = made_up(kind, &out.data);
                    let bad = Message { data: &data, line: &[], ..m(Some(kind.as_str())) };
                    sub.conn.push(bad, log, full);
                }
                _ => {}
            }
            match sub.hold {
                Hold::Until(_) => sub.held.push((out.data.clone(), out.line.clone())),
                Hold::No | Hold::Next => {
                    sub.conn.push(m(None), log, full);
                    sub.told = true;
                    if fate == Fate::Twice {
                        sub.conn.push(m(Some("duplicate")), log, full);
                    }
                    if sub.hold == Hold::Next {
                        release(sub, safe, Some("reorder"), log, full);
                    }
                }
            }
        }
    }

    /// Faults whose time has come, and the end of those that last.
    pub(super) fn strike_due(&mut self) {
        let Some(rel) = self.since_t0() else { return };
        let now = self.now;
        self.release_due(now);
        if let Some(newest) = self.strikes.shut_down(now) {
            for c in self.conns.range(..=newest).map(|(_, c)| c) {
                c.finish(End::Close(1001, "server shutdown".to_owned()));
            }
        }
        self.strikes.gaps.retain(|g| g.2 > now);
        self.strikes.mutes.retain(|m| m.1 > now);
        let tail = self.cfg.quiet_tail_ms as i64;
        if !self.strikes.quiet && self.cfg.duration_ms.is_some_and(|d| rel >= d as i64 - tail) {
            self.quiesce();
        }
        if self.strikes.quiet {
            return;
        }
        let mut due = Vec::new();
        for (spec, next) in &mut self.strikes.planned {
            if next.is_some_and(|t| t as i64 <= rel) {
                due.push(spec.clone());
                *next = spec.every_ms.map(|e| next.unwrap_or(0) + e);
            }
        }
        if rel % 1000 == 0 {
            for (ix, spec) in &self.strikes.random_seconds {
                if spec.strikes(self.strikes.seed, *ix, 0, 0, (rel / 1000) as u64) {
                    due.push(spec.clone());
                }
            }
        }
        for spec in due {
            self.strike(spec);
        }
    }

    /// Plans a fault that has a time.
    pub(super) fn plan(&mut self, spec: FaultSpec) {
        let at = spec.at_ms;
        self.strikes.planned.push((spec, at));
    }

    /// Does at once what is to meet the very first subscription: all other faults begin with it.
    pub(super) fn strike_first(&mut self) {
        let is_first = |f: &FaultSpec| {
            matches!(f.kind, FaultKind::RefuseSubscribe | FaultKind::Mute)
                && f.at_ms.is_none()
                && f.every_ms.is_none()
        };
        let planned = std::mem::take(&mut self.strikes.planned);
        let (now, later): (Vec<_>, Vec<_>) = planned.into_iter().partition(|(spec, _)| is_first(spec));
        self.strikes.planned = later;
        for (spec, _) in now {
            self.strike(spec);
        }
    }

    /// Ends all faults, for good: what is held is sent, what is armed is forgotten.
    pub(super) fn quiesce(&mut self) {
        self.strikes.quiet = true;
        self.strikes.armed.clear();
        self.strikes.omits.clear();
        self.strikes.crosses.clear();
        self.strikes.random_frames.clear();
        self.strikes.gaps.clear();
        self.strikes.mutes.clear();
        self.strikes.refuse_until = i64::MIN;
        for st in &mut self.streams {
            for sub in &mut st.subs {
                sub.struck = None;
            }
        }
        for c in self.conns.values() {
            c.side.borrow_mut().stall_until = i64::MIN;
            c.wake.notify_one();
        }
        self.rest.forgive();
        self.release_due(i64::MAX);
    }

    fn release_due(&mut self, now: i64) {
        if !self.strikes.holding {
            return;
        }
        self.strikes.holding = false;
        let (log, full) = (self.oracle.on(), self.cfg.oracle_payload);
        for st in &mut self.streams {
            for sub in &mut st.subs {
                let due = match sub.hold {
                    Hold::No => false,
                    Hold::Next => now == i64::MAX,
                    Hold::Until(t) => t <= now,
                };
                if due {
                    release(sub, &st.safe, None, log, full);
                }
                self.strikes.holding |= sub.hold != Hold::No;
            }
        }
    }

    /// Does one fault.
    pub(super) fn strike(&mut self, spec: FaultSpec) {
        let now = self.now;
        let until = now + spec.for_ms as i64;
        self.strikes.strikes += 1;
        let dice = mix(self.strikes.seed ^ mix(self.strikes.strikes));
        self.log_fault(&spec);
        match spec.kind {
            k if k.hits_frames() => {
                let skip = if spec.stream.is_some() { 0 } else { dice % 16 };
                self.strikes.armed.push(Armed { spec, skip });
            }
            FaultKind::Gap => {
                let symbol = spec.symbol.as_deref().map(str::to_ascii_uppercase);
                self.strikes.gaps.push((symbol, spec.conn, until));
            }
            FaultKind::Mute => {
                let until = if spec.for_ms == 0 { i64::MAX } else { until };
                self.strikes.mutes.push((spec, until));
            }
            FaultKind::Stall if spec.stream.is_some() => {
                self.strikes.holding = true;
                for st in &mut self.streams {
                    for sub in &mut st.subs {
                        if sub.hold == Hold::No && spec.aims_at(sub.conn.no, &st.name, None) {
                            sub.hold = Hold::Until(until);
                        }
                    }
                }
            }
            FaultKind::Stall => {
                for c in self.aimed(&spec, dice) {
                    c.side.borrow_mut().stall_until = until;
                }
            }
            FaultKind::Cut => {
                for c in self.aimed(&spec, dice) {
                    c.finish(end_of(&spec, until));
                }
            }
            FaultKind::Raw => {
                let bytes = from_hex(&spec.hex).unwrap_or_default();
                for c in self.aimed(&spec, dice) {
                    c.push_raw(&bytes);
                }
            }
            FaultKind::ServerShutdown => {
                for c in self.conns.values() {
                    let mut data = Vec::new();
                    put(&mut data, "{\"e\":\"serverShutdown\",\"E\":");
                    int(&mut data, now);
                    data.push(b'}');
                    let line = b",\"kind\":\"notice\"";
                    let m =
                        Message { stream: "!serverShutdown", data: &data, line, fault: None, dropped: false };
                    c.push(m, self.oracle.on(), self.cfg.oracle_payload);
                }
                if let Some(newest) = self.conns.keys().next_back() {
                    self.strikes.shutdowns.push((until, *newest));
                }
            }
            FaultKind::Refuse => self.strikes.refuse_until = until,
            FaultKind::Delist | FaultKind::Halt | FaultKind::List => self.list_by(spec),
            FaultKind::OmitLevel => self.strikes.omits.push(spec),
            FaultKind::CrossBook => self.strikes.crosses.push(spec),
            _ => self.rest.arm(spec, now),
        }
    }

    fn log_fault(&mut self, spec: &FaultSpec) {
        if self.oracle.on() {
            let detail = serde_json::to_string(spec).unwrap_or_default();
            let line = self.oracle.begin("fault");
            key_str(line, "kind", spec.kind.as_str());
            key_str(line, "detail", &super::text::escaped(&detail));
            self.oracle.end_line();
        }
    }

    /// The connections that a fault means: the one named, all that carry the stream or symbol named, else one by dice.
    fn aimed(&self, spec: &FaultSpec, dice: u64) -> Vec<Rc<Conn>> {
        if let Some(no) = spec.conn {
            return self.conns.get(&no).cloned().into_iter().collect();
        }
        if spec.stream.is_some() || spec.symbol.is_some() {
            let carries = |c: &&Rc<Conn>| {
                c.side.borrow().subs.iter().any(|(name, &ix)| {
                    let symbol = self.streams[ix].symbol.map(|s| self.symbols[s].def.symbol.as_str());
                    spec.aims_at(c.no, name, symbol)
                })
            };
            return self.conns.values().filter(carries).cloned().collect();
        }
        let n = self.conns.len() as u64;
        self.conns.values().nth(dice.checked_rem(n).unwrap_or(0) as usize).cloned().into_iter().collect()
    }

    /// Pings, deadlines and ages.
    pub(super) fn tend_conns(&mut self) {
        let d = self.shape.d;
        let now = self.now;
        let ping = self.cfg.ping_every_ms.unwrap_or(d.ping_every_ms);
        let in_pings = d.words.and_then(|sp| sp.unanswered_max()).map(|n| n * ping);
        let pong = self.cfg.pong_within_ms.or(in_pings).unwrap_or(d.pong_within_ms) as i64;
        let ping = ping as i64;
        let age = self.cfg.age_max_ms.unwrap_or(d.age_max_ms) as i64;
        let (mut pings, mut ends) = (Vec::new(), Vec::new());
        for c in self.conns.values() {
            let (mut send_ping, mut end) = (false, None);
            {
                let mut s = c.side.borrow_mut();
                if s.stall_until != i64::MIN && s.stall_until <= now {
                    s.stall_until = i64::MIN;
                    c.wake.notify_one();
                }
                if now - s.opened >= age {
                    end = Some(End::Close(1001, "connection expired".to_owned()));
                } else if s.pong_missing.is_some_and(|t| now - t >= pong) {
                    end = Some(End::Close(1008, "Pong timeout".to_owned()));
                } else if now - s.pinged >= ping {
                    s.pinged = now;
                    s.pong_missing.get_or_insert(now);
                    send_ping = true;
                }
                if let Some(End::Cut(CutHow::HalfOpen, t)) = s.end
                    && t <= now
                {
                    s.end = Some(End::Cut(CutHow::Rst, now));
                    c.wake.notify_one();
                }
                let waiting = s.pending.bytes.len() + s.taken;
                if waiting > self.cfg.outbound_max_bytes && s.end.is_none() {
                    s.end = Some(End::Cut(CutHow::Rst, now));
                    c.wake.notify_one();
                }
            }
            let end = end.or_else(|| self.foreign_pings(c));
            if let Some(end) = end {
                ends.push((c.clone(), end));
            } else if send_ping {
                pings.push(c.clone());
            }
        }
        for c in pings {
            match d.words.and_then(|sp| sp.asks()) {
                Some(text) => self.reply(&c, text),
                None => c.push_control(PING, now.to_string().as_bytes()),
            }
        }
        for (c, end) in ends {
            if super::wishes::is_pong_timeout(&end)
                && let Some(text) = d.words.and_then(|sp| sp.farewell())
            {
                self.reply(&c, text);
            }
            c.finish(end);
        }
    }

    /// Whether new connections are refused now.
    pub(super) fn refuses(&self) -> bool {
        self.now < self.strikes.refuse_until
    }
}

impl Strikes {
    /// The newest connection that heard of an end which is now.
    fn shut_down(&mut self, now: i64) -> Option<u64> {
        let due = self.shutdowns.iter().filter(|(at, _)| *at <= now).map(|(_, newest)| *newest).max();
        self.shutdowns.retain(|(at, _)| *at > now);
        due
    }

    fn fate(
        &mut self,
        sub: &mut Sub,
        name: &str,
        place: u64,
        symbol: Option<&str>,
        chained: bool,
        now: i64,
    ) -> Fate {
        let conn = sub.conn.no;
        if let Some((kind, left)) = sub.struck
            && (kind == FaultKind::Drop || sub.hold == Hold::No)
        {
            sub.struck = (left > 1).then(|| (kind, left - 1));
            return fate_of(kind);
        }
        let gap = self.gaps.iter().any(|(s, c, until)| {
            *until > now
                && c.is_none_or(|c| c == conn)
                && s.as_deref().is_none_or(|s| symbol.is_some_and(|x| x.eq_ignore_ascii_case(s)))
        });
        if gap {
            return Fate::Drop(FaultKind::Gap);
        }
        if self.mutes.iter().any(|(spec, until)| *until > now && spec.aims_at(conn, name, symbol)) {
            return Fate::Drop(FaultKind::Mute);
        }
        for i in 0..self.armed.len() {
            let a = &mut self.armed[i];
            if !hits(&a.spec, sub, name, symbol, chained) {
                continue;
            }
            if a.skip > 0 {
                a.skip -= 1;
                continue;
            }
            let Armed { spec, .. } = self.armed.swap_remove(i);
            return strikes(&spec, sub);
        }
        for i in 0..self.random_frames.len() {
            let (ix, spec) = &self.random_frames[i];
            if hits(spec, sub, name, symbol, chained)
                && spec.strikes(self.seed, *ix, conn, place, sub.ordinal)
            {
                return strikes(spec, sub);
            }
        }
        Fate::Pass
    }
}

/// A fault hits a subscription's frame, and as many behind it as it says.
fn strikes(spec: &FaultSpec, sub: &mut Sub) -> Fate {
    sub.struck = (spec.frames > 1).then(|| (spec.kind, spec.frames - 1));
    fate_of(spec.kind)
}

fn fate_of(kind: FaultKind) -> Fate {
    match kind {
        FaultKind::Drop => Fate::Drop(FaultKind::Drop),
        FaultKind::Duplicate => Fate::Twice,
        FaultKind::Reorder => Fate::After,
        k => Fate::Preceded(k),
    }
}

/// Whether a frame fault may hit the next frame here. A hole before the first frame would be none, and one in an unchained
/// stream cannot be proven: that is only done to a stream that is named.
fn hits(spec: &FaultSpec, sub: &Sub, name: &str, symbol: Option<&str>, chained: bool) -> bool {
    let any_stream = matches!(
        spec.kind,
        FaultKind::Garbage
            | FaultKind::UnknownEvent
            | FaultKind::ErrorReply
            | FaultKind::Gzip
            | FaultKind::Zlib
            | FaultKind::Binary
    );
    sub.told
        && sub.hold == Hold::No
        && (chained || any_stream || spec.stream.is_some())
        && spec.aims_at(sub.conn.no, name, symbol)
}

fn release(sub: &mut Sub, safe: &str, fault: Option<&str>, log: bool, full: bool) {
    sub.hold = Hold::No;
    for (data, line) in std::mem::take(&mut sub.held) {
        sub.conn.push(Message { stream: safe, data: &data, line: &line, fault, dropped: false }, log, full);
        sub.told = true;
    }
}

/// A frame that no venue should send, made from one that it did send.
fn made_up(kind: FaultKind, good: &[u8]) -> Vec<u8> {
    match kind {
        FaultKind::Garbage => {
            // Cut in the middle of a level, mostly: what a broken proxy would leave.
            let mut v = good[..good.len() * 2 / 3].to_vec();
            v.extend_from_slice(b"\x00}");
            v
        }
        FaultKind::UnknownEvent => {
            b"{\"e\":\"somethingNew\",\"m\":\"somethingNew\",\"E\":1,\"x\":[{\"y\":null}]}".to_vec()
        }
        FaultKind::ResetIds | FaultKind::HugeId => {
            let text = String::from_utf8_lossy(good);
            let mut out = text.into_owned();
            let big = kind == FaultKind::HugeId;
            for (i, key) in
                ["\"U\":", "\"u\":", "\"pu\":", "\"t\":", "\"a\":", "\"seqnum\":"].into_iter().enumerate()
            {
                let id = if big { format!("9223372036854775808{i}") } else { (3 + i).to_string() };
                out = replace_id(&out, key, &id);
            }
            out.into_bytes()
        }
        _ => good.to_vec(),
    }
}

/// Replaces the integer after the first `key`, if one stands there.
fn replace_id(text: &str, key: &str, id: &str) -> String {
    let Some(at) = text.find(key).map(|i| i + key.len()) else { return text.to_owned() };
    let end = text[at..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |n| at + n);
    if end == at {
        return text.to_owned();
    }
    format!("{}{id}{}", &text[..at], &text[end..])
}

/// Log line of a connection's end or beginning: shared by the connection's task.
pub(super) fn log_conn(w: &mut World, k: &str, conn: u64, more: impl FnOnce(&mut Vec<u8>)) {
    if w.oracle.on() {
        let line = w.oracle.begin(k);
        key_int(line, "conn", conn as i64);
        more(line);
        w.oracle.end_line();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_frames_keep_their_shape() {
        let good = br#"{"e":"depthUpdate","E":5,"U":157,"u":160,"pu":149,"b":[],"a":[["1","2"]]}"#;
        let s = |k| String::from_utf8(made_up(k, good)).unwrap();
        assert_eq!(
            s(FaultKind::ResetIds),
            r#"{"e":"depthUpdate","E":5,"U":3,"u":4,"pu":5,"b":[],"a":[["1","2"]]}"#
        );
        assert!(s(FaultKind::HugeId).contains("\"u\":92233720368547758081,"));
        assert!(serde_json::from_slice::<serde_json::Value>(&made_up(FaultKind::Garbage, good)).is_err());
        assert!(serde_json::from_slice::<serde_json::Value>(&made_up(FaultKind::UnknownEvent, good)).is_ok());
    }
}
