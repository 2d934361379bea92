//! Records that are not frames: connections, subscriptions, instruments, timers, runs, losses.

use rustc_hash::FxHashMap;

use super::state::{About, BookState, Conn, Core, Detector, RunCfg};
use super::{FoldSink, RULES_VERSION};
use crate::instrument::DELISTED;
use crate::model::control::{LatencyNote, PlanNote, from_payload};
use crate::model::{
    ConnEvent, ConnectionRow, GapNote, InstrumentId, InstrumentVersion, Kind, LatencyRow, Listed, Record,
    Reject, RejectCause, RowRef, RunRow, RunStart, RunStop, StreamId, StreamKind, Subscribed, TimerEvent,
    VenueIx, row::GapCause, time,
};
use crate::venue;

/// Payload of a `Clock` record.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ClockNote {
    /// Offset to the reference, ns.
    pub offset_ns: i64,
    /// Bound of the error, ns.
    pub max_error_ns: i64,
    /// Which reference.
    pub source: String,
    /// Step since the last reading, ns.
    pub step_ns: i64,
}

impl Core {
    pub fn control<S: FoldSink>(&mut self, rec: &Record<'_>, sink: &mut S, about: &mut About) {
        let read = match rec.kind {
            Kind::Connection => from_payload(rec.payload).map(|e| self.connection(rec, &e, sink, about)),
            Kind::Subscription => from_payload(rec.payload).map(|e| self.subscription(rec, &e, sink, about)),
            Kind::Instrument => {
                from_payload(rec.payload).map(|e| self.instrument_listed(rec, e, sink, about))
            }
            Kind::Timer => from_payload(rec.payload).map(|e| self.timer(rec, &e, sink, about)),
            Kind::Gap => from_payload(rec.payload).map(|e| self.gap_note(rec, &e, sink)),
            Kind::Run => from_payload(rec.payload).map(|e| self.run_start(rec, e, sink)),
            Kind::Stop => from_payload(rec.payload).map(|e| self.run_stop(rec, &e, sink)),
            Kind::Clock => from_payload(rec.payload).map(|e| self.clock(rec, &e, sink)),
            Kind::Latency => from_payload(rec.payload).map(|e| self.latency(rec, &e, sink)),
            Kind::Sent => {
                if let Some(c) = self.conns.get(&rec.conn) {
                    about.venue = c.venue;
                }
                Ok(())
            }
            Kind::Config => from_payload(rec.payload).map(|e| self.plan(rec, &e, sink, about)),
            Kind::Checkpoint | Kind::Sync | Kind::Seal | Kind::Frame | Kind::Rest => Ok(()),
        };
        if read.is_err() {
            self.reject(
                rec,
                sink,
                about,
                Reject::new(RejectCause::Shape, "control record of another version"),
            );
        }
    }

    fn connection<S: FoldSink>(&mut self, rec: &Record<'_>, e: &ConnEvent, sink: &mut S, about: &mut About) {
        let Some((ix, _)) = venue::by_id(&e.venue) else { return };
        about.venue = ix;
        let url = match (rec.url, self.conns.get(&rec.conn)) {
            ("", Some(c)) => c.url.clone(),
            (u, _) => u.to_owned(),
        };
        if S::ROWS {
            let mut head = self.head(rec);
            head.venue = ix;
            let row = ConnectionRow {
                stream: "",
                leg: i64::from(e.leg),
                url: &url,
                event: &e.event,
                close_code: if e.code > 0 { i64::from(e.code) } else { -1 },
                detail: &e.detail,
            };
            sink.row(&head, RowRef::Connection(row));
        }
        match e.event.as_str() {
            "open" => {
                self.conns.insert(
                    rec.conn,
                    Box::new(Conn {
                        id: rec.conn,
                        venue: ix,
                        leg: e.leg,
                        url,
                        streams: Vec::new(),
                        only: None,
                        by_name: FxHashMap::default(),
                        ts_last: rec.ts_recv,
                        mono_last: rec.ts_mono,
                    }),
                );
            }
            "close" | "failed" | "refused" => {
                if let Some(mut conn) = self.conns.remove(&rec.conn) {
                    if e.answered {
                        self.lives(&mut conn, rec, sink);
                    }
                    let cause = GapCause::from_str(&e.cause).unwrap_or(GapCause::VenueDisconnect);
                    let det = match cause {
                        GapCause::SilentStream | GapCause::StaleTimeout => Detector::Watchdog,
                        _ => Detector::Close,
                    };
                    self.disconnected(&conn, (cause, e.answered), det, rec, sink);
                }
            }
            "ping" | "pong" => {
                if let Some(mut c) = self.conns.remove(&rec.conn) {
                    self.lives(&mut c, rec, sink);
                    self.conns.insert(rec.conn, c);
                }
            }
            _ => {}
        }
    }

    fn subscription<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        e: &Subscribed,
        sink: &mut S,
        about: &mut About,
    ) {
        let Some((ix, _)) = venue::by_id(&e.venue) else { return };
        about.venue = ix;
        for spec in &e.waiting {
            self.awaited(ix, spec, rec, sink);
        }
        let Some(mut conn) = self.conns.remove(&rec.conn) else { return };
        for spec in &e.add {
            // A refused symbol was checked by the plan; here it can only be the symbol limit, and then stays raw.
            let _ = self.subscribe(&mut conn, spec, rec, sink);
        }
        if conn.streams.len() == 1 && !conn.url.contains("/stream") {
            conn.only = e.add.first().cloned();
        } else {
            conn.only = None;
        }
        for name in &e.remove {
            if let Some(id) = conn.by_name.remove(name.as_bytes()) {
                conn.streams.retain(|s| *s != id);
                self.stream_removed(id, rec, sink);
            }
        }
        planted!("shed_without_a_word", (), self.shed(&mut conn, &e.shed, rec, sink));
        for id in e.confirmed.iter().filter_map(|n| conn.by_name.get(n.as_bytes())) {
            self.acknowledged(*id, &conn, rec, sink);
        }
        for id in e.refused.iter().filter_map(|n| conn.by_name.get(n.as_bytes())) {
            self.refused(*id, rec, sink);
        }
        self.conns.insert(rec.conn, conn);
    }

    fn stream_removed<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, sink: &mut S) {
        self.unsubscribed(id, rec, sink);
        let (kind, inst) = (self.streams[id.0 as usize].kind, self.streams[id.0 as usize].instrument);
        if self.streams[id.0 as usize].alive() == 0 && inst != InstrumentId::NONE {
            let feeds = self.insts[inst.ix()].book.as_ref().is_some_and(|b| b.stream == id);
            if kind == StreamKind::DepthDiff && feeds {
                self.forget_book(rec, inst, sink);
            }
            // A plan change ends the instrument's parts; a book that lives on opens the next one.
            if let Some(b) = self.insts[inst.ix()].book.as_mut() {
                b.opens_part();
            }
            sink.cut(inst);
        }
    }

    /// Streams of earlier runs that are wanted no more: their gap ends here.
    fn plan<S: FoldSink>(&mut self, rec: &Record<'_>, e: &PlanNote, sink: &mut S, about: &mut About) {
        let Some((ix, _)) = venue::by_id(&e.venue) else { return };
        about.venue = ix;
        if let Some(policy) = e.id_policy {
            self.set_policy(ix, policy);
        }
        self.backfill_kinds(ix, &e.backfill);
        self.cfg.whole_markets.retain(|v| *v != ix);
        self.cfg.whole_markets.extend(e.whole_market.then_some(ix));
        for i in 0..self.streams.len() {
            let s = &self.streams[i];
            if s.venue != ix || !s.subscribed || s.alive() > 0 {
                continue;
            }
            match e.streams.contains(&s.name) {
                true => self.wanted_again(StreamId(i as u32), rec, sink),
                false => self.stream_removed(StreamId(i as u32), rec, sink),
            }
        }
        self.stays_shed(ix, &e.shed, rec, sink);
    }

    /// The instrument of an earlier run that a list says the same of now: its version stays in force.
    fn is_still(&mut self, venue: VenueIx, new: &InstrumentVersion, elsewhere: bool) -> Option<InstrumentId> {
        let id = *self.symbols[usize::from(venue.0)].get(&new.symbol)?;
        let inst = &mut self.insts[id.ix()];
        if !inst.is_past || !new.same_facts(&inst.version) {
            return None;
        }
        let version = inst.version.clone();
        inst.begins(version);
        (inst.exps_known, inst.elsewhere, inst.listed) = (true, elsewhere, None);
        Some(id)
    }

    fn instrument_listed<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        Listed { version: mut new, elsewhere }: Listed,
        sink: &mut S,
        about: &mut About,
    ) {
        let Some((ix, _)) = venue::by_id(&new.venue) else { return };
        about.venue = ix;
        if let Some(id) = self.is_still(ix, &new, elsewhere) {
            about.instrument = id;
            return;
        }
        let Some(r) = self.intern(ix, &new.symbol, rec, sink) else { return };
        about.instrument = r.id;
        let old = &mut self.insts[r.id.ix()];
        old.elsewhere = elsewhere;
        let known = old.exps_known;
        if known {
            // A list may print fewer decimals than the frames did: exponents never shrink.
            new.price_exp = new.price_exp.max(old.version.price_exp);
            new.size_exp = new.size_exp.max(old.version.size_exp);
            if new.same_facts(&old.version) {
                return;
            }
            if !self.widen_quietly(r.id, new.price_exp, new.size_exp) {
                new.price_exp = self.insts[r.id.ix()].version.price_exp;
                new.size_exp = self.insts[r.id.ix()].version.size_exp;
            }
        }
        let inst = &mut self.insts[r.id.ix()];
        (inst.exps_known, inst.listed) = (true, None);
        // What a list says is granted, whatever was taken back before.
        inst.exps_max = (inst.exps_max.0.max(new.price_exp), inst.exps_max.1.max(new.size_exp));
        let is_gone = new.status == DELISTED;
        inst.version = new;
        self.new_version(rec, r.id, sink);
        if is_gone {
            self.silence_explained(r.id, rec, sink);
        }
    }

    /// An instrument is not listed any more: that its streams are silent has its reason from here on.
    fn silence_explained<S: FoldSink>(&mut self, id: InstrumentId, rec: &Record<'_>, sink: &mut S) {
        for i in 0..self.streams.len() {
            let s = &self.streams[i];
            if s.instrument == id && s.gap.is_some_and(|g| g.cause == GapCause::SilentStream) {
                self.resumes(StreamId(i as u32), rec, "listing", sink);
            }
        }
    }

    fn timer<S: FoldSink>(&mut self, rec: &Record<'_>, e: &TimerEvent, sink: &mut S, about: &mut About) {
        if let Some(c) = self.conns.get(&rec.conn) {
            about.venue = c.venue;
        }
        match e {
            TimerEvent::Boundary(b) => self.boundary(rec, b.at, sink),
            TimerEvent::Silent { stream } => {
                let id = self.conns.get(&rec.conn).and_then(|c| c.by_name.get(stream.as_bytes()).copied());
                if let Some(id) = id {
                    about.stream = id;
                    self.silent(id, rec, sink);
                }
            }
            TimerEvent::Served { stream } => {
                let id = self.conns.get(&rec.conn).and_then(|c| c.by_name.get(stream.as_bytes()).copied());
                let is_silent =
                    |s: &super::state::Stream| s.gap.is_some_and(|g| g.cause == GapCause::SilentStream);
                if let Some(id) = id.filter(|id| is_silent(&self.streams[id.0 as usize])) {
                    about.stream = id;
                    self.resumes(id, rec, "connection", sink);
                    self.may_be_quiet(id, rec, sink);
                }
            }
            TimerEvent::LegWait { instrument } => {
                if let Some(id) = self.by_key(instrument) {
                    self.leg_wait_over(rec, id, sink);
                }
            }
            TimerEvent::SnapshotLate { instrument, cause } => {
                if let (Some(id), Some(cause)) = (self.by_key(instrument), GapCause::from_str(cause)) {
                    self.snapshot_late(id, cause, rec, sink);
                }
            }
            TimerEvent::Backfilled { venue, stream, ts_begin, seq_before, why } => {
                if let Some((ix, _)) = venue::by_id(venue) {
                    about.venue = ix;
                    self.backfill_over(ix, (stream, *ts_begin, *seq_before, why), rec, sink);
                }
            }
            TimerEvent::Audit { instrument } => {
                if let Some(id) = self.by_key(instrument) {
                    self.audit_begins(rec, id, sink);
                }
            }
            TimerEvent::Minute => {}
        }
    }

    fn by_key(&self, key: &str) -> Option<InstrumentId> {
        let (venue, symbol) = key.split_once(':')?;
        let (ix, _) = venue::by_id(venue)?;
        self.symbols[usize::from(ix.0)].get(symbol).copied()
    }

    /// The interval ends with this record; whoever makes the parts closes them when the step is done.
    ///
    /// A lane that died right after a boundary states it again when it goes on: its clock knows stamps, and the
    /// boundary's own is the last nanosecond before it. The second one says nothing new.
    fn boundary<S: FoldSink>(&mut self, rec: &Record<'_>, at: i64, sink: &mut S) {
        if at <= self.boundary_at {
            return;
        }
        self.boundary_at = at;
        if S::ROWS {
            self.flush_all_tops(sink);
        }
        self.audits_end(rec, sink);
        let day_ends = time::floor_to(at, time::NS_PER_DAY) == at;
        self.interval_ends(at, rec, sink);
        for i in &mut self.insts {
            if let Some(b) = i.book.as_mut() {
                b.opens_part();
            }
        }
        if day_ends {
            // A day can be read alone, and so can its gaps.
            self.release_all(None, "the UTC day ended before they came", rec, sink);
            self.day_opens = at;
        }
    }

    /// A UTC day begins: its first part opens with whole books and the versions in force, stamped at its start, so
    /// that a day can be read alone. Done at the lane's next record: the old day's parts are closed by then.
    pub fn open_day<S: FoldSink>(&mut self, rec: &Record<'_>, sink: &mut S) {
        let at = std::mem::take(&mut self.day_opens);
        if !S::ROWS {
            return;
        }
        let rec = Record { ts_recv: at, ts_kernel: 0, rseq: -1, conn: 0, flags: 0, ..*rec };
        for i in 0..self.insts.len() {
            let id = InstrumentId(i as u32);
            self.carried_version(&rec, id, sink);
            let venue = self.insts[i].venue;
            let Some(mut b) = self.insts[i].book.take() else { continue };
            if b.carry && b.synced {
                let mut head = self.head(&rec);
                (head.instrument, head.venue, head.flags) = (id, venue, 0);
                head.conn = self.streams.get(b.stream.0 as usize).map_or(0, |s| s.conn);
                self.carried(&head, &mut b, sink);
            }
            self.insts[i].book = Some(b);
        }
    }

    /// Each UTC day says anew which versions are in force, so that a day can be read alone.
    fn carried_version<S: FoldSink>(&mut self, rec: &Record<'_>, id: InstrumentId, sink: &mut S) {
        let mut head = self.head(rec);
        let inst = &self.insts[id.ix()];
        if !inst.exps_known || inst.elsewhere {
            return;
        }
        (head.instrument, head.venue) = (id, inst.venue);
        head.flags |= crate::model::flags::CARRIED;
        let from = inst.version.ts_valid_from;
        sink.row(&head, RowRef::Instrument { version: &inst.version, ts_valid_from: from, ts_valid_to: 0 });
    }

    fn silent<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, sink: &mut S) {
        let s = &self.streams[id.0 as usize];
        let (kind, inst, gap) = (s.kind, s.instrument, s.gap.is_some());
        if gap {
            return;
        }
        if kind == StreamKind::DepthDiff {
            self.unproven(rec, inst, GapCause::SilentStream, Detector::Watchdog, sink);
        } else {
            let (last, ts) = (s.last_id, s.ts_last.max(s.cover.map_or(0, |c| c.ts_begin)));
            self.close_cover(id, ts, GapCause::SilentStream.as_str(), rec, sink);
            self.open_gap(id, GapCause::SilentStream, ts, Detector::Watchdog, last, 0);
        }
    }

    fn snapshot_late<S: FoldSink>(
        &mut self,
        id: InstrumentId,
        cause: GapCause,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let Some(stream) = self.insts[id.ix()].book.as_ref().filter(|b| !b.synced).map(|b| b.stream) else {
            return;
        };
        let Some(g) = self.streams.get(stream.0 as usize).and_then(|s| s.gap) else { return };
        if g.cause == cause || !super::holes::waits(&g) {
            return;
        }
        let end = super::streams::GapEnd::at(rec.ts_recv, "");
        self.close_gap(stream, end, rec, sink);
        self.open_gap(stream, cause, rec.ts_recv, Detector::Watchdog, -1, g.epoch_before);
    }

    fn gap_note<S: FoldSink>(&mut self, rec: &Record<'_>, e: &GapNote, sink: &mut S) {
        let cause = GapCause::from_str(&e.cause).unwrap_or(GapCause::ProcessCrash);
        if matches!(cause, GapCause::ProcessCrash | GapCause::PowerLoss) {
            // This run's monotonic clock says nothing of that one's.
            let at = Record { ts_recv: e.ts_begin, ts_mono: 0, ..*rec };
            for i in 0..self.insts.len() {
                self.forget_book(&at, InstrumentId(i as u32), sink);
            }
            self.cut_silences(e.ts_begin, &at, sink);
            self.all_streams_lost(e.ts_begin, cause, Detector::Recovery, &at, sink);
            return;
        }
        if cause == GapCause::StorageCorruption {
            self.records_lost(e, rec, sink);
            return;
        }
        // Other losses concern the whole lane for a while: every stream says so, and goes on.
        for i in 0..self.streams.len() {
            let id = StreamId(i as u32);
            let s = &self.streams[i];
            if !s.subscribed || s.gap.is_some() {
                continue;
            }
            let (kind, inst, conn, last) = (s.kind, s.instrument, s.conn, s.last_id);
            if kind == StreamKind::DepthDiff {
                self.unproven(rec, inst, cause, Detector::Recovery, sink);
            } else {
                self.close_cover(id, e.ts_begin, cause.as_str(), rec, sink);
                self.open_gap(id, cause, e.ts_begin, Detector::Recovery, last, 0);
                let end = super::streams::GapEnd::at(e.ts_end.max(e.ts_begin), "");
                self.close_gap(id, end, rec, sink);
                self.open_cover(id, e.ts_end.max(e.ts_begin), -1, -1, conn);
            }
        }
    }

    /// Records of this lane are lost. What they said of connections is not known either, so a stream is there again when
    /// it next brings something, and not before.
    fn records_lost<S: FoldSink>(&mut self, e: &GapNote, rec: &Record<'_>, sink: &mut S) {
        for i in 0..self.streams.len() {
            let id = StreamId(i as u32);
            let s = &self.streams[i];
            if !s.subscribed {
                continue;
            }
            let (last, inst, kind) = (s.last_id, s.instrument, s.kind);
            // Ids that are missing afterwards may have been sent at any time since the last message.
            let is_trade = kind.is_chained() && kind != StreamKind::DepthDiff;
            let at = if is_trade { s.known_until() } else { e.ts_begin };
            let epoch =
                self.insts.get(inst.ix()).and_then(|i| i.book.as_ref()).map_or(0, |b| b.proof_epoch());
            if kind == StreamKind::DepthDiff {
                self.reseed(rec, inst, sink);
            }
            self.close_cover(id, at, GapCause::StorageCorruption.as_str(), rec, sink);
            let end = super::streams::GapEnd::at(e.ts_begin, "");
            let at = if self.streams[i].gap.is_some() { e.ts_begin } else { at };
            self.close_gap(id, end, rec, sink);
            self.open_gap(id, GapCause::StorageCorruption, at, Detector::Recovery, last, epoch);
        }
    }

    fn run_start<S: FoldSink>(&mut self, rec: &Record<'_>, e: RunStart, sink: &mut S) {
        let cfg = RunCfg {
            interval_ns: e.interval_ns.max(1),
            book_top_interval_ns: e.book_top_interval_ns,
            auto_register: e.auto_register,
            epoch_floor: e.epoch_floor,
            run_id: e.run_id,
            writer: e.writer,
            build: e.build,
            host: e.host,
            config_sha256: e.config_sha256,
            ts_start: e.ts_start,
            policies: Vec::new(),
            backfill: Vec::new(),
            whole_markets: Vec::new(),
        };
        self.release_all(None, "the recorder ended before they came", rec, sink);
        self.cfg = cfg;
        self.conns.clear();
        for s in &mut self.streams {
            s.left_by_all();
        }
        self.leave_venues(&e.venues, rec, sink);
        self.instruments_are_past(rec, sink);
        self.run_row(rec, 0, "running", sink);
    }

    /// A run takes nothing over of what the one before it knew of instruments: the recorder that writes it began empty too,
    /// and both have to read the same numbers the same way. An epoch is never given twice.
    fn instruments_are_past<S: FoldSink>(&mut self, rec: &Record<'_>, sink: &mut S) {
        if S::ROWS {
            self.flush_all_tops(sink);
        }
        for i in 0..self.insts.len() {
            self.forget_book(rec, InstrumentId(i as u32), sink);
            let rule = self.rule(self.insts[i].venue);
            let inst = &mut self.insts[i];
            inst.is_past = true;
            if let Some(b) = inst.book.as_mut() {
                let epoch = b.epoch.max(self.cfg.epoch_floor);
                **b = BookState { epoch, ..BookState::new(rule, StreamId::NONE) };
            }
        }
    }

    /// What earlier runs recorded of venues that this one leaves out is not wanted any more: its gaps end here.
    fn leave_venues<S: FoldSink>(&mut self, now: &[String], rec: &Record<'_>, sink: &mut S) {
        if now.is_empty() {
            return;
        }
        for i in 0..self.streams.len() {
            let s = &self.streams[i];
            let slug = super::state::venue_of(s.venue).spec().id;
            if s.subscribed && !now.iter().any(|v| v == slug) {
                self.stream_removed(StreamId(i as u32), rec, sink);
            }
        }
    }

    fn run_stop<S: FoldSink>(&mut self, rec: &Record<'_>, e: &RunStop, sink: &mut S) {
        if S::ROWS {
            self.flush_all_tops(sink);
        }
        for i in 0..self.insts.len() {
            self.forget_book(rec, InstrumentId(i as u32), sink);
        }
        self.cut_silences(rec.ts_recv, rec, sink);
        self.all_streams_lost(rec.ts_recv, GapCause::Operator, Detector::Recovery, rec, sink);
        self.run_row(rec, e.ts_stop, &e.exit, sink);
    }

    /// Only lane 000 writes `runs`; a reader's run row would repeat control's.
    fn run_row<S: FoldSink>(&self, rec: &Record<'_>, ts_stop: i64, exit: &str, sink: &mut S) {
        if !S::ROWS || self.lane != 0 {
            return;
        }
        let row = RunRow {
            run_id: &self.cfg.run_id,
            writer: &self.cfg.writer,
            build: &self.cfg.build,
            host: &self.cfg.host,
            config_sha256: &self.cfg.config_sha256,
            rules_version: i64::from(RULES_VERSION),
            ts_start: self.cfg.ts_start,
            ts_stop,
            exit,
        };
        sink.row(&self.head(rec), RowRef::Run(row));
    }

    fn clock<S: FoldSink>(&mut self, rec: &Record<'_>, e: &ClockNote, sink: &mut S) {
        if S::ROWS {
            let row = RowRef::Clock {
                offset_ns: e.offset_ns,
                max_error_ns: e.max_error_ns,
                source: &e.source,
                step_ns: e.step_ns,
            };
            sink.row(&self.head(rec), row);
        }
    }

    fn latency<S: FoldSink>(&mut self, rec: &Record<'_>, note: &LatencyNote, sink: &mut S) {
        if !S::ROWS {
            return;
        }
        for e in &note.entries {
            let mut head = self.head(rec);
            head.venue = venue::by_id(&note.venue).map_or(VenueIx::NONE, |(ix, _)| ix);
            head.ts_event = note.ts_begin;
            let row = LatencyRow {
                stream: &e.stream,
                hop: &e.hop,
                count: e.count,
                min: e.min,
                p50: e.p50,
                p90: e.p90,
                p99: e.p99,
                p999: e.p999,
                max: e.max,
                histogram: &e.histogram,
            };
            sink.row(&head, RowRef::Latency(row));
        }
    }

    /// Rescales the book for a list's wider exponents; `false` (and nothing changed) if a value would not fit.
    fn widen_quietly(&mut self, id: InstrumentId, p: u8, s: u8) -> bool {
        let inst = &mut self.insts[id.ix()];
        let (from, to) = ((inst.version.price_exp, inst.version.size_exp), (p, s));
        match inst.book.as_mut() {
            Some(b) => b.rescale(from, to),
            None => true,
        }
    }
}
