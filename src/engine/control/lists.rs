//! Instrument lists: what a venue trades, and which versions the lanes must hear of.

use std::collections::BTreeSet;

use super::*;
use crate::config::VenueConfig;
use crate::engine::choose::{choose, is_unnamable, with_places};
use crate::engine::links::is_pair_of;
use crate::engine::venues::LIST_LATE_NS;
use crate::instrument::{DELISTED, Versions};
use crate::model::{InstrumentVersion, StreamSpec, Subscribed};
use crate::venue::InstrumentList;

/// A list that may be asked for only so much later is one that did not come.
const LONG_NS: i64 = 10 * S;

/// The versions that earlier runs recorded last, by venue.
pub(super) type Earlier = BTreeMap<String, Vec<(LaneId, InstrumentVersion)>>;

impl Control {
    /// What earlier runs recorded, as soon as the converter has read so far.
    pub(super) fn hear_earlier(&mut self, now: i64) {
        let Some(all) = self.parts.missed.take_earlier() else { return };
        let mut by_venue = Earlier::new();
        for (lane, version) in all {
            by_venue.entry(version.venue.clone()).or_default().push((lane, version));
        }
        self.earlier = Some(by_venue);
        for v in 0..self.venues.len() {
            if let Some((list, body)) = self.venues[v].early.take() {
                self.remember(v, &list, &body, now);
            }
        }
    }

    /// What earlier runs recorded of a venue and this one does not carry is followed all the same: what became of it while
    /// nobody looked is said at the first list. What this run carries its lanes compare themselves.
    fn remember(&mut self, v: usize, list: &InstrumentList, body: &[u8], now: i64) {
        let venue = &mut self.venues[v];
        let Some(before) = self.earlier.as_mut().and_then(|e| e.remove(&venue.plan.config.id)) else {
            return;
        };
        let lanes: Vec<LaneId> = self.parts.lanes.iter().map(|l| l.lane).collect();
        let mut newest: BTreeMap<String, (LaneId, InstrumentVersion)> = BTreeMap::new();
        for (lane, version) in before {
            // Symbols move between lanes from run to run: the one that recorded it last knows best.
            let is_newer =
                newest.get(&version.symbol).is_none_or(|(_, old)| old.ts_valid_from <= version.ts_valid_from);
            if !venue.recorded.contains(&version.symbol) && is_newer {
                newest.insert(version.symbol.clone(), (lane, version));
            }
        }
        for (lane, version) in newest.into_values() {
            // A lane that is gone has left its instruments to one that is there.
            let lane = if lanes.contains(&lane) { lane } else { 1 };
            venue.recorded.note(lane, version);
        }
        self.follow(v, list, body, now);
    }

    pub(super) fn list_due(&mut self, v: usize, now: i64) -> Result<(), ControlFault> {
        if self.venues[v].list_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        let venue = &self.venues[v];
        let (purpose, request) = match venue.plan.venue.volumes_request() {
            Some(volumes) if self.ranks_by_old_volumes(v, now) => (Purpose::Volumes, volumes),
            _ => (Purpose::Instruments, venue.plan.venue.instruments_request()),
        };
        let group = venue.group;
        let priority = self.venues[v].list_priority(now);
        match self.groups[group].budget.grant(now, request.weight, priority) {
            Grant::Granted => {
                if purpose == Purpose::Instruments {
                    // Volumes are of no use without the list behind them: that one is waited for as long.
                    self.venues[v].list_waits = None;
                }
                let sent = self.get(v, purpose, request.path);
                self.venues[v].list_at = if sent { None } else { Some(now + S) };
            }
            Grant::WaitUntil(at) => {
                // It is worth more once it has waited for long: then it asks again.
                let late = self.venues[v].list_waits.map_or(at, |since| since + LIST_LATE_NS);
                self.venues[v].list_at = Some(if late > now { at.min(late) } else { at });
                if at - now > LONG_NS {
                    let why = format!("nothing may be asked for {} s", (at - now) / S);
                    return self.waits_for_a_list(v, &request.path, &why, now);
                }
            }
        }
        Ok(())
    }

    /// Whether a rule ranks markets by volumes that are not there or were fetched for an earlier list.
    fn ranks_by_old_volumes(&self, v: usize, now: i64) -> bool {
        let venue = &self.venues[v];
        let config = venue.next.as_ref().unwrap_or(&venue.plan.config);
        let ranks = config.rule.as_ref().is_some_and(|r| r.top_by_volume.is_some());
        ranks && venue.volumes.as_ref().is_none_or(|(at, _)| now - at > venue.list_every_ns() / 2)
    }

    /// Volumes by which a rule ranks markets: the instrument list is asked for next.
    pub(super) fn volumes(
        &mut self,
        v: usize,
        path: &str,
        now: i64,
        result: Result<RestResponse, RestError>,
    ) {
        if self.venues[v].gone {
            return;
        }
        let wait = self.venues[v].list_backoff.next_wait(fastrand::u64(..));
        self.venues[v].list_at = Some(now + i64::try_from(wait.as_nanos()).unwrap_or(S));
        let Ok(r) = result else { return };
        self.record_body(v, path, &r);
        let venue = &mut self.venues[v];
        match (r.status, venue.plan.venue.parse_volumes(&r.body)) {
            (200, Ok(volumes)) => {
                venue.list_backoff.reset();
                (venue.volumes, venue.list_at) = (Some((now, volumes)), Some(now));
            }
            (status, other) => {
                let why = why_none(&r, other.err());
                let venue = &venue.plan.config.id;
                tracing::warn!(venue, status, why, "no volumes, will be asked for again");
            }
        }
    }

    /// What a venue is to carry from this list on, if that is another thing than what it carries.
    fn next_plan(&mut self, v: usize, listed: &[InstrumentVersion]) -> Option<VenueConfig> {
        let venue = &mut self.venues[v];
        let asked = venue.next.take();
        let changed = asked.is_some();
        let mut config = asked.unwrap_or_else(|| venue.plan.config.clone());
        let Some(rule) = &config.rule else {
            // What was not listed at first is there now.
            let is_new = |s: &&String| venue.listed.contains(*s) && !venue.homes.contains_key(*s);
            let comes = config.allow_missing && config.symbols.iter().any(|s| is_new(&s));
            let over = ended(venue.plan.venue.spec().ended_statuses, &config.symbols, listed);
            for symbol in &over {
                tracing::info!(venue = config.id, symbol, "is over: its streams end");
            }
            config.symbols.retain(|s| !over.contains(s));
            return (changed || comes || !over.is_empty()).then_some(config);
        };
        let volumes = venue.volumes.as_ref().map_or(&[][..], |(_, v)| v);
        let held: BTreeSet<String> = venue.plan.config.symbols.iter().cloned().collect();
        let symbols = choose(rule, Some(venue.plan.venue.spec()), listed, volumes, &held);
        let symbols = with_places(venue.plan.venue, &config.channels, listed, symbols);
        if !changed && symbols.iter().cloned().collect::<BTreeSet<_>>() == held {
            return None;
        }
        let spec = venue.plan.venue.spec();
        for i in listed.iter().filter(|i| is_unnamable(spec, &i.symbol)) {
            let (venue, symbol) = (&config.id, &i.symbol);
            tracing::warn!(venue, symbol, "is listed under a name that no stream takes: no rule chooses it");
        }
        tracing::info!(venue = config.id, symbols = symbols.len(), "symbols chosen by rule");
        config.symbols = symbols;
        Some(config)
    }

    /// A list did not come. What named symbols are to be captured may need none; else, if there never was one, what the venue is
    /// to carry lacks from now on. Of symbols that a rule chooses nobody knows which they are: that the venue was asked in vain
    /// is a row of `connections`, and status says so until it comes.
    fn waits_for_a_list(&mut self, v: usize, path: &str, why: &str, now: i64) -> Result<(), ControlFault> {
        let venue = &mut self.venues[v];
        let asked = venue.next.as_ref().unwrap_or(&venue.plan.config).clone();
        let is_first = venue.listed.is_empty();
        if is_first {
            venue.metrics.list_waits.set(1);
        }
        let id = asked.id.clone();
        let is_rule = asked.rule.is_some();
        if !is_rule && venue.plan.venue.opens_unlisted() {
            // At the start, when it is taken back, and when a reload asks for something else.
            let Some(next) = venue.next.take() else { return Ok(()) };
            venue.told_waiting = Some(asked);
            tracing::error!(
                venue = id,
                why,
                "no instrument list: streams of the named symbols are opened all the same, nobody knows their units"
            );
            self.record_failure(v, path, why);
            return self.open_unlisted(v, next, now);
        }
        if !is_first || venue.told_waiting.as_ref() == Some(&asked) {
            return Ok(());
        }
        venue.told_waiting = Some(asked.clone());
        let lacks = if is_rule { "a rule has nothing to choose from" } else { "its streams wait" };
        let runs =
            if venue.slots.is_empty() { "nothing of the venue is recorded yet" } else { "what runs stays" };
        tracing::error!(venue = id, why, "no instrument list: {lacks}, {runs}");
        self.record_failure(v, path, why);
        self.all_lack(v);
        Ok(())
    }

    /// What a venue is to carry has no connection yet.
    pub(super) fn all_lack(&self, v: usize) {
        let venue = &self.venues[v];
        let asked = venue.next.as_ref().unwrap_or(&venue.plan.config).clone();
        let symbols = asked.symbols.clone();
        let listed: Vec<&str> = symbols.iter().map(String::as_str).collect();
        let links = Links { config: asked, ..venue.plan.clone() };
        let held = |s: &str| venue.held(s);
        let Ok(streams) = links.streams(v, self.parts.lanes.len(), &listed, &held, &venue.earlier) else {
            return;
        };
        for (lane, waiting) in streams {
            self.lacks(v, lane, waiting);
        }
    }

    /// What is named is taken for listed until a list says otherwise.
    fn open_unlisted(&mut self, v: usize, next: VenueConfig, now: i64) -> Result<(), ControlFault> {
        let venue = &mut self.venues[v];
        let listed = venue.listed.clone();
        let is_new = |s: &&String| !listed.contains(*s) && !venue.recorded.contains(s);
        venue.unlisted.extend(next.symbols.iter().filter(is_new).cloned());
        venue.listed.extend(next.symbols.iter().cloned());
        let opened = self.change(v, next, now);
        self.venues[v].listed = listed;
        opened
    }

    /// The list is there: what was opened before it and is not in it was never a symbol of the venue, so it ends like one that is over.
    fn end_unlisted(
        &mut self,
        v: usize,
        list: &InstrumentList,
        body: &[u8],
        now: i64,
    ) -> Result<(), ControlFault> {
        let venue = &mut self.venues[v];
        let listed: Vec<&str> = venue.listed.iter().map(String::as_str).collect();
        let is_there = |s: &str| listed.contains(&s) || is_pair_of(venue.plan.venue, s, &listed);
        let missing: Vec<String> =
            std::mem::take(&mut venue.unlisted).into_iter().filter(|s| !is_there(s)).collect();
        // Of an element that could not be read the next list may tell.
        let (unread, gone): (BTreeSet<String>, BTreeSet<String>) =
            missing.into_iter().partition(|s| list.faulty > 0 && names(body, s));
        venue.unlisted = unread;
        // Where it was taken for listed it has no claim to be.
        venue.homes.retain(|s, _| !gone.contains(s));
        let mut config = venue.plan.config.clone();
        let named = config.symbols.clone();
        let stays = config.allow_missing;
        for symbol in named.iter().filter(|s| gone.contains(*s)) {
            let then = if stays {
                "it is recorded when it is listed"
            } else {
                "mend the configuration and have it read again (SIGHUP)"
            };
            tracing::error!(
                venue = config.id,
                symbol,
                "not listed, and was opened before the list came: its streams end; {then}"
            );
        }
        config.symbols.retain(|s| !gone.contains(s));
        if let Some(next) = venue.next.as_mut().filter(|n| !n.allow_missing) {
            next.symbols.retain(|s| !gone.contains(s));
        }
        if config.symbols.len() < named.len() {
            self.change(v, config, now)?;
            if stays {
                self.venues[v].plan.config.symbols = named;
            }
        }
        Ok(())
    }

    /// Streams that are wanted have no connection.
    pub(super) fn lacks(&self, v: usize, lane: LaneId, waiting: Vec<StreamSpec>) {
        if !waiting.is_empty() {
            let venue = self.venues[v].plan.config.id.clone();
            self.order(lane, ToLane::Await(Box::new(Subscribed { venue, waiting, ..Subscribed::default() })));
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
        let r = match result {
            Ok(r) => r,
            Err(e) => {
                return self.waits_for_a_list(v, path, &e.to_string(), now);
            }
        };
        self.record_body(v, path, &r);
        let list = match (r.status, self.venues[v].plan.venue.parse_instruments(&r.body)) {
            (200, Ok(list)) => list,
            (status, other) => {
                let why = why_none(&r, other.err());
                tracing::warn!(
                    venue = self.venues[v].plan.config.id,
                    status,
                    why,
                    "no instrument list, will be asked for again"
                );
                return self.waits_for_a_list(v, path, &format!("status {status} {why}"), now);
            }
        };
        let venue = &mut self.venues[v];
        if list.instruments.is_empty() && !venue.required {
            // As little as of a list that did not come: nobody closes a whole market without a word.
            tracing::warn!(
                venue = venue.plan.config.id,
                "the instrument list is empty, will be asked for again"
            );
            return Ok(());
        }
        venue.list_backoff.reset();
        venue.listed_now(now);
        venue.metrics.list_waits.set(0);
        if list.weight_per_minute > 0 {
            let group = &mut self.groups[venue.group];
            group.budget.set_limit(list.weight_per_minute.min(group.weight_most));
        }
        venue.listed = list.instruments.iter().map(|i| i.symbol.clone()).collect();
        // Before the plan changes: a stream that ends because its symbol does is explained by the version before it.
        self.follow(v, &list, &r.body, now);
        self.end_unlisted(v, &list, &r.body, now)?;
        if let Some(next) = self.next_plan(v, &list.instruments) {
            self.change(v, next, now)?;
        }
        self.fit_polls(self.venues[v].group);
        let venue = &mut self.venues[v];
        let mut recorded = std::mem::take(&mut venue.recorded);
        let versions = recorded.meet(&list.instruments, &|s| venue.lanes_of(s));
        venue.recorded = recorded;
        self.tell_versions(versions);
        if self.earlier.is_some() {
            self.remember(v, &list, &r.body, now);
        } else {
            self.venues[v].early = Some((list, r.body));
        }
        Ok(())
    }

    pub(super) fn tell_versions(&self, versions: Versions) {
        for (lane, list) in versions {
            self.order(lane, ToLane::Instruments(list));
        }
    }

    /// Records what the list changes of instruments that were recorded before.
    fn follow(&mut self, v: usize, list: &InstrumentList, body: &[u8], now: i64) {
        // An element that could not be read is not gone.
        let is_unreadable = |s: &str| list.faulty > 0 && names(body, s);
        let venue = &mut self.venues[v];
        let delisted: BTreeSet<String> =
            venue.listed.iter().filter(|s| venue.recorded.is_delisted(s)).cloned().collect();
        let versions = venue.recorded.follow(&list.instruments, &is_unreadable);
        let mut moved = false;
        for i in versions.values().flatten().map(|l| &l.version) {
            let (id, symbol, status) = (&venue.plan.config.id, &i.symbol, &i.status);
            if !venue.plan.config.symbols.contains(symbol) {
                tracing::info!(venue = id, symbol, status, "an instrument changed");
                continue;
            }
            moved |= status == DELISTED || delisted.contains(symbol);
            match status.as_str() {
                DELISTED => tracing::warn!(venue = id, symbol, "the venue does not list it any more"),
                status => tracing::warn!(venue = id, symbol, status, "an instrument changed"),
            }
        }
        for symbol in &delisted {
            venue.renew(symbol, now);
        }
        let over = self.venues[v].plan.venue.spec().ended_statuses;
        for i in versions.values().flatten().map(|l| &l.version) {
            self.alive(v, &i.symbol, i.status != DELISTED && !over.contains(&i.status.as_str()), now);
        }
        self.tell_versions(versions);
        // Where nothing is recorded yet nothing is polled either.
        if moved && !self.venues[v].is_unfit() {
            self.plan_polls(v);
        }
    }

    /// What happens to a venue's REST connection on lane 000.
    fn rest_event(&self, v: usize, event: &str, detail: String) -> Vec<u8> {
        to_payload(&ConnEvent {
            event: event.to_owned(),
            venue: self.venues[v].plan.config.id.clone(),
            leg: 0,
            slot: u32::MAX,
            code: 0,
            cause: String::new(),
            answered: false,
            detail,
        })
    }

    /// A request without an answer leaves no body.
    fn record_failure(&mut self, v: usize, path: &str, why: &str) {
        let conn = self.next_conn();
        let payload = self.rest_event(v, "failed", format!("REST: no instrument list: {why}"));
        let entry = Entry { conn: (conn, -1), url: path.to_owned(), ..Entry::new(Kind::Connection, payload) };
        self.parts.lane0.append(clock::wall_ns(), clock::mono_ns(), entry);
    }

    /// Bodies that change no lane's state are kept on lane 000.
    pub(super) fn record_body(&mut self, v: usize, path: &str, r: &RestResponse) {
        let conn = match self.venues[v].rest_conns.get(&0) {
            Some(c) => *c,
            None => {
                let conn = self.next_conn();
                self.venues[v].rest_conns.insert(0, conn);
                let payload = self.rest_event(v, "open", "REST".to_owned());
                let entry = Entry { conn: (conn, -1), ..Entry::new(Kind::Connection, payload) };
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

/// What an answer is that is not what was asked for: a body that cannot be read matters only where the status is well.
fn why_none(r: &RestResponse, unread: Option<impl std::fmt::Display>) -> String {
    match unread {
        Some(e) if r.status == 200 => e.to_string(),
        _ => r.redirect().unwrap_or_else(|| super::polls::beginning(&r.body)),
    }
}

/// Those of the symbols that are over, although the venue lists them still.
fn ended(words: &[&str], symbols: &[String], listed: &[InstrumentVersion]) -> BTreeSet<String> {
    let is_over = |i: &&InstrumentVersion| words.contains(&i.status.as_str()) && symbols.contains(&i.symbol);
    listed.iter().filter(is_over).map(|i| i.symbol.clone()).collect()
}

/// Whether a body has a symbol in quotes anywhere.
fn names(body: &[u8], symbol: &str) -> bool {
    let quoted = format!("\"{symbol}\"").into_bytes();
    body.windows(quoted.len()).any(|w| w == quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_is_looked_for_whole() {
        let body = br#"{"symbols":[{"symbol":"BTCUSDT_260925","tickSize":7}]}"#;
        assert!(names(body, "BTCUSDT_260925") && !names(body, "BTCUSDT"));
    }
}
