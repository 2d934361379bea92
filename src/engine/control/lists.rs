//! Instrument lists: what a venue trades, and which versions the lanes must hear of.

use std::collections::BTreeMap;

use super::*;

impl Control {
    pub(super) fn list_due(&mut self, v: usize, now: i64) {
        if self.venues[v].list_at.is_none_or(|at| at > now) {
            return;
        }
        let request = self.venues[v].plan.venue.instruments_request();
        let group = self.venues[v].group;
        match self.groups[group].budget.grant(now, request.weight, Priority::Vital) {
            Grant::Granted => {
                let sent = self.get(v, Purpose::Instruments, request.path);
                self.venues[v].list_at = if sent { None } else { Some(now + S) };
            }
            Grant::WaitUntil(at) => self.venues[v].list_at = Some(at),
        }
    }

    pub(super) fn instruments(
        &mut self,
        v: usize,
        path: &str,
        now: i64,
        result: Result<RestResponse, RestError>,
    ) -> Result<(), ControlFault> {
        if self.venues[v].gone {
            return Ok(());
        }
        let wait = self.venues[v].list_backoff.next_wait(fastrand::u64(..));
        self.venues[v].list_at = Some(now + i64::try_from(wait.as_nanos()).unwrap_or(S));
        let Ok(r) = result else { return Ok(()) };
        self.record_body(v, path, &r);
        let list = match (r.status, self.venues[v].plan.venue.parse_instruments(&r.body)) {
            (200, Ok(list)) => list,
            (status, other) => {
                let why = other.err().map_or_else(String::new, |e| e.to_string());
                tracing::warn!(
                    venue = self.venues[v].plan.config.id,
                    status,
                    why,
                    "no instrument list, will be asked for again"
                );
                return Ok(());
            }
        };
        let venue = &mut self.venues[v];
        venue.list_backoff.reset();
        venue.list_at = Some(now + LIST_EVERY_NS);
        if list.weight_per_minute > 0 {
            self.groups[venue.group].budget.set_limit(list.weight_per_minute);
        }
        if let Some(next) = self.venues[v].next.take() {
            self.venues[v].listed = list.instruments.iter().map(|i| i.symbol.clone()).collect();
            self.change(v, next, now)?;
        }
        let mut changed: BTreeMap<LaneId, Vec<_>> = BTreeMap::new();
        let venue = &mut self.venues[v];
        for i in list.instruments {
            let Some(lane) = venue.lanes.get(&i.symbol) else { continue };
            if venue.instruments.get(&i.symbol).is_none_or(|old| !old.same_facts(&i)) {
                venue.instruments.insert(i.symbol.clone(), i.clone());
                changed.entry(*lane).or_default().push(i);
            }
        }
        for (lane, list) in changed {
            self.order(lane, ToLane::Instruments(list));
        }
        Ok(())
    }

    /// Bodies that change no lane's state are kept on lane 000.
    pub(super) fn record_body(&mut self, v: usize, path: &str, r: &RestResponse) {
        let conn = match self.venues[v].rest_conns.get(&0) {
            Some(c) => *c,
            None => {
                let conn = self.next_conn();
                self.venues[v].rest_conns.insert(0, conn);
                let e = ConnEvent {
                    event: "open".to_owned(),
                    venue: self.venues[v].plan.config.id.clone(),
                    leg: 0,
                    slot: u32::MAX,
                    code: 0,
                    cause: String::new(),
                    answered: false,
                    detail: "REST".to_owned(),
                };
                let entry = Entry { conn: (conn, -1), ..Entry::new(Kind::Connection, to_payload(&e)) };
                self.parts.lane0.append(r.ts_recv, r.mono_recv, entry);
                conn
            }
        };
        let rseq = self.venues[v].rest_rseq;
        self.venues[v].rest_rseq += 1;
        let entry = Entry {
            conn: (conn, rseq),
            status: i32::from(r.status),
            url: path.to_owned(),
            ..Entry::new(Kind::Rest, r.body.clone())
        };
        self.parts.lane0.append(r.ts_recv, r.mono_recv, entry);
    }
}
