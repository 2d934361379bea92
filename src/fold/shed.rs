//! Streams that are given up because the disk has no room for them. They stay wanted: their gap `shed_disk` lasts until a
//! connection brings them again.

use super::FoldSink;
use super::gaps::Detector;
use super::state::{Conn, Core};
use super::streams::GapEnd;
use crate::model::control::StreamName;
use crate::model::{InstrumentId, Record, StreamId, StreamKind, VenueIx, row::GapCause};

impl Core {
    /// They end on a connection. What was on its way then is not known: their gap begins at its last byte.
    #[cold]
    pub(super) fn shed<S: FoldSink>(
        &mut self,
        conn: &mut Conn,
        names: &[StreamName],
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let gone: Vec<StreamId> = names.iter().filter_map(|n| conn.by_name.remove(n.as_bytes())).collect();
        if gone.is_empty() {
            return;
        }
        conn.streams.retain(|s| !gone.contains(s));
        let part = Conn {
            id: conn.id,
            venue: conn.venue,
            leg: conn.leg,
            url: String::new(),
            streams: gone,
            only: None,
            by_name: rustc_hash::FxHashMap::default(),
            ts_last: conn.ts_last,
            mono_last: conn.mono_last,
        };
        self.disconnected(&part, (GapCause::ShedDisk, false), Detector::Subscription, rec, sink);
        for &id in &part.streams {
            let s = self.s(id);
            let (inst, is_over) = (s.instrument, s.alive() == 0 && s.kind == StreamKind::DepthDiff);
            if is_over && inst != InstrumentId::NONE {
                // Nothing will tell that it is not the venue's any more.
                self.forget_book(rec, inst, sink);
            }
        }
    }

    /// What the plan names as given up and nothing carries has that for its gap from now on.
    #[cold]
    pub(super) fn stays_shed<S: FoldSink>(
        &mut self,
        venue: VenueIx,
        names: &[StreamName],
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        for name in names {
            let Some(&id) = self.stream_names[usize::from(venue.0)].get(name) else { continue };
            let s = self.s(id);
            if !s.subscribed || s.alive() > 0 || s.gap.is_some_and(|g| g.cause == GapCause::ShedDisk) {
                continue;
            }
            let last = s.last_id;
            let end = GapEnd::at(rec.ts_recv, "");
            self.close_gap(id, end, rec, sink);
            self.open_gap(id, GapCause::ShedDisk, rec.ts_recv, Detector::Subscription, last, 0);
        }
    }
}
