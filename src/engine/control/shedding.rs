//! A disk that runs full: streams are given up in order and taken up again, as a plan that changes, and the lanes say so.

use std::collections::BTreeMap;

use super::*;
use crate::engine::ladder::{Look, Rung};
use crate::engine::links::LaneStreams;
use crate::metrics::Writes;
use crate::model::{StreamSpec, Subscribed};

impl Control {
    /// Looks at the disk; once a second.
    pub(super) fn look_at_space(&mut self, now: i64) -> Result<(), ControlFault> {
        // While a connection that still carries what was given up has not closed, that has not been told yet.
        let may_fall = self.venues.iter().all(|v| v.slots.iter().all(|s| !s.is_replaced(now)));
        let Some(ladder) = &mut self.parts.ladder else { return Ok(()) };
        let refused = self.parts.shared.storage.fails(Writes::Journal);
        let look = match ladder.look(refused, may_fall) {
            Ok(look) => look,
            Err(e) => {
                tracing::warn!(error = %e, "the disk's free space is not known");
                return Ok(());
            }
        };
        let storage = &self.parts.shared.storage;
        storage.reserve.set(i64::try_from(look.reserve).unwrap_or(i64::MAX));
        storage.rung.set(i64::from(look.rung.0));
        self.let_old_files_go(look.lacks);
        if look.is_new {
            self.climb(look, now)?;
        }
        Ok(())
    }

    /// Where old files may go by size, they go before new data does.
    fn let_old_files_go(&self, lacks: u64) {
        let mut keep = self.parts.keep.lock().unwrap_or_else(PoisonError::into_inner);
        if keep.max_bytes.is_some() {
            keep.free_up = lacks;
        }
    }

    /// Another rung: each venue's plan is made anew.
    fn climb(&mut self, look: Look, now: i64) -> Result<(), ControlFault> {
        for v in 0..self.venues.len() {
            let venue = &self.venues[v];
            if !venue.gone && !venue.listed.is_empty() && !venue.is_unfit() {
                let same = self.venues[v].plan.config.clone();
                self.change(v, same, now)?;
            }
        }
        let storage = &self.parts.shared.storage;
        let why = look.rung.words().map(|w| {
            let n = storage.shed_now.get();
            format!("the disk is nearly full: {n} streams are not recorded ({w})")
        });
        if storage.set(Writes::Space, why.clone()) {
            match why {
                Some(why) => tracing::error!("{why}; make room, or set max_size or keep"),
                None => tracing::info!("the disk has room again, all streams are recorded"),
            }
        } else if look.rung > Rung::default() {
            tracing::warn!("the disk runs full; books of the later half of the symbols go first");
        }
        Ok(())
    }

    fn rung(&self) -> Rung {
        self.parts.ladder.as_ref().map(|l| l.rung()).unwrap_or_default()
    }

    /// What of a venue's streams is recorded, and the others, by lane.
    pub(super) fn part_with(
        &self,
        v: usize,
        wanted: &[LaneStreams],
    ) -> (Vec<LaneStreams>, BTreeMap<LaneId, Vec<StreamSpec>>) {
        let (rung, symbols) = (self.rung(), &self.venues[v].plan.config.symbols);
        // The first of two, the first two of three.
        let later = &symbols[symbols.len().div_ceil(2)..];
        let is_later = |s: &StreamSpec| s.symbol.as_ref().is_some_and(|s| later.contains(s));
        let mut shed: BTreeMap<LaneId, Vec<StreamSpec>> = BTreeMap::new();
        let mut kept = Vec::with_capacity(wanted.len());
        for (lane, streams) in wanted {
            let records = |s: &StreamSpec| rung.records(s, is_later(s));
            let (stay, go): (Vec<_>, Vec<_>) = streams.iter().cloned().partition(records);
            kept.push((*lane, stay));
            shed.entry(*lane).or_default().extend(go);
        }
        shed.retain(|_, s| !s.is_empty());
        (kept, shed)
    }

    /// Streams of a venue that are given up from now on, all of them: those that no connection ever carried are known as
    /// wanted all the same.
    pub(super) fn shed(&mut self, v: usize, shed: &BTreeMap<LaneId, Vec<StreamSpec>>) {
        let venue = self.venues[v].plan.config.id.clone();
        for (lane, streams) in shed {
            let waiting =
                Subscribed { venue: venue.clone(), waiting: streams.clone(), ..Subscribed::default() };
            self.order(*lane, ToLane::Await(Box::new(waiting)));
        }
        let all = || shed.values().flatten();
        for symbol in all().filter(|s| s.kind == StreamKind::DepthDiff).filter_map(|s| s.symbol.clone()) {
            self.audits.ends(v, &symbol);
            self.venues[v].wanted.remove(&symbol);
            self.book_state(v, &symbol, BookState::Init);
        }
        let names: std::collections::BTreeSet<String> = all().map(|s| s.name.clone()).collect();
        let new = names.difference(&self.venues[v].shed).count();
        self.venues[v].shed = names;
        let storage = &self.parts.shared.storage;
        storage.shed.add(new as u64);
        let now: usize = self.venues.iter().map(|v| v.shed.len()).sum();
        storage.shed_now.set(i64::try_from(now).unwrap_or(i64::MAX));
    }

    /// Whether the book of a symbol is given up.
    pub(super) fn has_no_book(&self, v: usize, symbol: &str) -> bool {
        let venue = &self.venues[v];
        let names = |s: &StreamSpec| s.kind == StreamKind::DepthDiff && s.symbol.as_deref() == Some(symbol);
        !venue.shed.is_empty() && !venue.slots.iter().any(|s| s.slot.conn.streams.iter().any(names))
    }
}
