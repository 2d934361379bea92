//! A plan that changes while the capture runs: by a new configuration, or because a venue does not serve a channel.
//!
//! What a venue is to carry takes effect with its next instrument list, which is asked for at once: new symbols need their
//! versions first, and names that it does not list must not cost what runs. Connections of which nothing changes stay;
//! the others are replaced like those that grew old, the new one first.

use std::collections::BTreeSet;

use std::sync::Arc;

use super::*;
use crate::config::VenueConfig;
use crate::engine::links::LaneStreams;
use crate::engine::plan::home;
use crate::model::StreamSpec;

impl Control {
    /// Takes a new configuration, as far as it can be taken while running. Never fails: what cannot be is said, and stays
    /// as it was.
    pub(super) fn reload(&mut self, new: Config) {
        let new = self.changeable(new);
        let links = match Links::all(&new) {
            Ok(l) => l,
            Err(e) => {
                tracing::error!(error = %e, "the configuration is not applied, the old one stays in force");
                return;
            }
        };
        let keep = Keep::new(&new.dataset.keep, new.dataset.max_size);
        *self.parts.keep.lock().unwrap_or_else(PoisonError::into_inner) = keep;
        let now = clock::mono_ns();
        for v in 0..self.venues.len() {
            let id = self.venues[v].plan.config.id.clone();
            if !links.iter().any(|l| l.config.id == id) && !self.venues[v].gone {
                self.give_up(v, now);
            }
        }
        for link in links {
            let id = link.config.id.clone();
            match self.venue_ix(&id) {
                Some(v) => self.reload_venue(v, link),
                None => self.begin_venue(link),
            }
        }
        self.parts.config = new;
        tracing::info!(
            "the configuration was read again; changed plans follow with the venues' instrument lists"
        );
    }

    /// The new configuration with the old values where a running capture cannot take new ones, which it says.
    fn changeable(&self, mut new: Config) -> Config {
        let old = &self.parts.config;
        let mut fixed = old.fixed_differences(&new);
        for n in &mut new.venues {
            let Some(o) = old.venues.iter().find(|o| o.id == n.id) else { continue };
            fixed.extend(o.fixed_differences(n).iter().map(|key| format!("{}: {key}", n.id)));
            n.rest_weight_share = o.rest_weight_share;
            (n.rest, n.ws) = (o.rest.clone(), o.ws.clone());
            n.tuning = o.tuning.clone();
            fixed.extend(keep_chain(o, n));
        }
        if !fixed.is_empty() {
            let keys = fixed.join(", ");
            tracing::warn!(keys, "cannot change while the capture runs, stays as it was until a restart");
        }
        let dataset = crate::config::Dataset {
            keep: new.dataset.keep,
            max_size: new.dataset.max_size,
            ..old.dataset.clone()
        };
        Config { dataset, venues: new.venues, ..old.clone() }
    }

    /// A venue that was there at the start or came later, and is still wanted or wanted again.
    fn reload_venue(&mut self, v: usize, mut link: Links) {
        for (dead, other) in &self.venues[v].fallen {
            replace_channel(&mut link.config, dead, other);
        }
        self.venues[v].beside.retain(|(c, other)| {
            let has = |name: &str| link.config.channels.iter().any(|x| x == name);
            let stays = has(c) && !has(other);
            if stays {
                link.config.channels.push((*other).to_owned());
            }
            stays
        });
        if self.venues[v].gone {
            return self.take_back(v, link);
        }
        let venue = &mut self.venues[v];
        let mut same = venue.plan.config.clone();
        if same.rule.is_some() && same.rule == link.config.rule {
            // The same rule chose these.
            link.config.symbols.clone_from(&same.symbols);
        }
        same.rotate_after_ns = link.config.rotate_after_ns;
        if venue.plan.rotate_after_ns != link.rotate_after_ns {
            venue.plan.rotate_after_ns = link.rotate_after_ns;
            for s in venue.slots.iter_mut().filter(|s| s.current.is_some()) {
                s.rotate_after(link.rotate_after_ns);
            }
        }
        if venue.next.is_none() && same == link.config {
            venue.plan.config = same;
            return;
        }
        venue.next = Some(link.config);
        // A request under way brings the list as well.
        venue.list_at = venue.list_at.map(|_| 0);
    }

    /// A venue that was given up is wanted again, perhaps at another host.
    fn take_back(&mut self, v: usize, link: Links) {
        match self.client(&link) {
            Ok(client) => {
                let address = self.addresses.of(link.venue.spec(), &link.hosts);
                let venue = &mut self.venues[v];
                venue.address = address;
                (venue.gone, venue.list_at, venue.client) = (false, Some(0), client);
                // What a reload brings back ends no capture.
                venue.required = false;
                venue.list_backoff.reset();
                venue.next = Some(link.config.clone());
                venue.plan = link;
            }
            Err(e) => tracing::error!(venue = link.config.id, error = %e, "the venue cannot be added"),
        }
    }

    fn begin_venue(&mut self, link: Links) {
        let id = link.config.id.clone();
        match self.add_venue(link) {
            Ok(v) => self.venues[v].required = false,
            Err(e) => tracing::error!(venue = id, error = %e, "the venue cannot be added"),
        }
    }

    /// A venue that the configuration does not name any more.
    fn give_up(&mut self, v: usize, now: i64) {
        let venue = &mut self.venues[v];
        (venue.gone, venue.next, venue.list_at) = (true, None, None);
        // If it is wanted again, it begins as at the start: its list may be another one by then.
        venue.told_waiting = None;
        venue.listed.clear();
        // Whom no list has named is taken for listed by nobody then.
        let unlisted = std::mem::take(&mut venue.unlisted);
        venue.homes.retain(|s, _| !unlisted.contains(s));
        venue.metrics.list_waits.set(0);
        venue.metrics.set_unfit("");
        // Wanted again it is no part of what the capture was started for.
        venue.required = false;
        let none: Vec<LaneStreams> = self.parts.lanes.iter().map(|l| (l.lane, Vec::new())).collect();
        if let Err(e) = self.adopt(v, &none, now) {
            // No streams are no streams too many.
            tracing::error!(error = %e, "a venue could not be given up");
        }
    }

    /// The venue's list is there: its plan is what `next` says from now on. What does not fit costs a capture that
    /// has just started its life, and one that runs the change only.
    pub(super) fn change(&mut self, v: usize, next: VenueConfig, now: i64) -> Result<(), ControlFault> {
        let venue = &self.venues[v];
        let listed: Vec<&str> = venue.listed.iter().map(String::as_str).collect();
        let wanted = Links { config: next, ..venue.plan.clone() };
        let held = |s: &str| venue.held(s);
        let fitting = wanted.streams(v, self.parts.lanes.len(), &listed, &held, &venue.earlier);
        // Who had to wait for its list does not take down what is recorded meanwhile.
        let others = self.venues.iter().enumerate().any(|(n, o)| n != v && !o.gone);
        let may_wait = venue.is_unfit() || venue.told_waiting.is_some() && others;
        let streams = match fitting {
            Ok(s) => s,
            Err(e) if venue.required && !may_wait => return Err(e.into()),
            Err(e) if venue.is_unfit() || venue.carries_nothing() => {
                self.waits_for_another_list(v, wanted.config, &e.to_string());
                return Ok(());
            }
            Err(e) => {
                tracing::error!(error = %e, "the change is not applied, what runs stays as it is");
                return Ok(());
            }
        };
        self.venues[v].plan = wanted;
        self.tell_left_out(v);
        self.adopt(v, &streams, now)?;
        self.venues[v].required = false;
        self.venues[v].metrics.set_unfit("");
        self.parts.shared.set_state(State::Running);
        Ok(())
    }

    /// Nothing of a venue is recorded, and what is configured does not fit its list: either may be mended, so each list to come
    /// is tried, and until then its streams lack as if none had come.
    fn waits_for_another_list(&mut self, v: usize, asked: VenueConfig, why: &str) {
        let venue = &mut self.venues[v];
        if venue.metrics.unfit() != why {
            tracing::error!(
                venue = asked.id,
                error = why,
                "what is configured does not fit the venue's list: nothing of it is recorded until a list fits, or what is configured is mended and read again (SIGHUP)"
            );
            venue.metrics.set_unfit(why);
        }
        let told = venue.told_waiting.replace(asked.clone());
        let is_new = told.as_ref() != Some(&asked);
        venue.next = Some(asked);
        if is_new {
            self.all_lack(v);
        }
    }

    /// Says once which symbols a channel does not take.
    fn tell_left_out(&mut self, v: usize) {
        let venue = &mut self.venues[v];
        let left_out = crate::engine::plan::left_out(&venue.plan.config, venue.plan.venue);
        for l in left_out.unwrap_or_default() {
            let is_new = |s: &&String| venue.told_left_out.insert((l.channel.clone(), (*s).clone()));
            let symbols: Vec<&str> = l.symbols.iter().filter(is_new).map(String::as_str).collect();
            if symbols.is_empty() {
                continue;
            }
            let (venue, channel, why) = (&venue.plan.config.id, &l.channel, l.why);
            let symbols = symbols.join(", ");
            tracing::warn!(
                venue,
                channel,
                symbols,
                why,
                "the channel does not take these symbols: left out of it alone"
            );
        }
    }

    /// The streams of a venue are these from now on.
    fn adopt(&mut self, v: usize, wanted: &[LaneStreams], now: i64) -> Result<(), ControlFault> {
        let (kept, shed) = self.part_with(v, wanted);
        let old: Vec<Slot> = self.venues[v].slots.iter().map(|s| s.slot.clone()).collect();
        let fits = self.venues[v].plan.reconcile(&old, &kept)?;
        self.forget(v, wanted);
        self.unwatch(v);
        self.tell_moved(v, wanted);
        self.meet(v, wanted);
        self.plan_polls(v);
        self.note_homes(v, wanted);
        self.venues[v].market_lanes = market_lanes(wanted, &self.venues[v].polls);
        self.venues[v].overflow.clear();
        self.shed(v, &shed);
        let venue = self.venues[v].plan.config.id.clone();
        let id_policy = self.venues[v].plan.id_policy();
        let backfill = self.backfill_kinds(v);
        for l in &self.parts.lanes {
            let here = wanted.iter().filter(|(lane, _)| *lane == l.lane).flat_map(|(_, s)| s);
            let streams = here.map(|s| s.name.clone()).collect();
            l.order(ToLane::Plan(PlanNote {
                venue: venue.clone(),
                streams,
                id_policy,
                backfill: backfill.clone(),
                whole_market: self.venues[v].market_lanes.contains(&l.lane),
                shed: shed.get(&l.lane).into_iter().flatten().map(|s| s.name.clone()).collect(),
            }));
            let lanes = &self.venues[v].lanes;
            let here = self.books.iter().filter(|((of, s), _)| *of == v && lanes.get(s) == Some(&l.lane));
            let books = here.map(|(_, b)| Arc::clone(b)).collect();
            l.order(ToLane::Books { venue: venue.clone(), books });
        }
        let slots = std::mem::take(&mut self.venues[v].slots);
        let (mut changed, mut gone) = (0, 0);
        for (mut s, carries) in slots.into_iter().zip(fits.old) {
            let Some(conn) = carries else {
                gone += 1;
                for conn in s.conns() {
                    self.owner.remove(&conn);
                    self.order(s.slot.lane, ToLane::Close { conn, why: "no longer wanted" });
                }
                continue;
            };
            if conn != s.slot.conn {
                changed += 1;
                s.carry(conn, now);
            }
            self.venues[v].slots.push(s);
        }
        let new = fits.new.len();
        let spec = self.venues[v].plan.venue.spec();
        let slots = fits.new.into_iter().filter_map(|s| SlotState::new(s, spec));
        self.venues[v].slots.extend(slots);
        self.venues[v].show_open();
        let streams: usize = wanted.iter().map(|(_, s)| s.len()).sum();
        tracing::info!(venue, streams, new, changed, gone, "connections of the plan");
        Ok(())
    }

    /// Writes which lane records what, before anything of it is recorded there.
    fn note_homes(&mut self, v: usize, wanted: &[LaneStreams]) {
        let venue = &self.venues[v];
        let streams = wanted.iter().flat_map(|(lane, all)| all.iter().map(move |s| (*lane, s)));
        let streams = streams.map(|(lane, s)| (home(venue.plan.venue, s), lane));
        // Some are polled and have no stream; a poll of the whole market has no symbol.
        let polled = venue.polls.iter().map(PollState::home);
        self.parts.homes.note(&venue.plan.config.id, polled.chain(streams));
    }

    /// Says what goes to another lane than it was recorded in.
    fn tell_moved(&self, v: usize, wanted: &[LaneStreams]) {
        let venue = &self.venues[v];
        let streams = wanted.iter().flat_map(|(lane, all)| all.iter().map(move |s| (*lane, s)));
        let was = |home: &str| venue.homes.get(home).or_else(|| venue.earlier.get(home)).copied();
        let moved: BTreeSet<String> = streams
            .filter(|(lane, s)| was(&home(venue.plan.venue, s)).is_some_and(|l| l != *lane))
            .map(|(_, s)| s.symbol.clone().unwrap_or_else(|| s.name.clone()))
            .collect();
        if !moved.is_empty() {
            let (venue, count) = (&venue.plan.config.id, moved.len());
            let moved = moved.into_iter().collect::<Vec<_>>().join(", ");
            tracing::warn!(
                venue,
                count,
                moved,
                "go to another lane than they were recorded in, because one lane must see all that brings the same: their \
                 files of this day begin anew"
            );
        }
    }

    /// Symbols that are new: their lane and their books.
    fn meet(&mut self, v: usize, wanted: &[LaneStreams]) {
        let id = self.venues[v].plan.config.id.clone();
        for (lane, s) in wanted.iter().flat_map(|(lane, s)| s.iter().map(move |s| (*lane, s))) {
            let home = home(self.venues[v].plan.venue, s);
            self.venues[v].homes.insert(home, lane);
            let Some(symbol) = &s.symbol else { continue };
            self.venues[v].lanes.insert(symbol.clone(), lane);
            if s.kind == StreamKind::DepthDiff && !self.books.contains_key(&(v, symbol.clone())) {
                let book = BookMetrics::new(&id, symbol);
                if let Some(l) = self.parts.shared.lanes().iter().find(|l| l.lane == lane) {
                    self.books.insert((v, symbol.clone()), l.add_book(book));
                }
            }
        }
    }

    /// Symbols and streams that go.
    fn forget(&mut self, v: usize, wanted: &[LaneStreams]) {
        let all = || wanted.iter().flat_map(|(_, s)| s);
        let symbols: BTreeSet<&str> = all().filter_map(|s| s.symbol.as_deref()).collect();
        let is_book = |s: &&StreamSpec| s.kind == StreamKind::DepthDiff;
        let books: BTreeSet<&str> = all().filter(is_book).filter_map(|s| s.symbol.as_deref()).collect();
        let streams: BTreeSet<&str> = all().map(|s| s.name.as_str()).collect();
        let venue = &mut self.venues[v];
        venue.lanes.retain(|s, _| symbols.contains(s.as_str()));
        venue.wanted.retain(|s, _| books.contains(s.as_str()));
        self.groups[venue.group].queue.retain(|(of, s)| *of != v || books.contains(s.as_str()));
        self.books.retain(|(of, s), _| *of != v || books.contains(s.as_str()));
        let id = &venue.plan.config.id;
        for l in self.parts.shared.lanes() {
            l.remove_books(|b| b.venue == *id && !books.contains(b.symbol.as_str()));
            l.remove_streams(|s| s.venue == *id && !streams.contains(s.name.as_str()));
        }
    }

    /// Channels that a venue acknowledges and never serves (`depth@0ms` on Aster): after a while without a single
    /// frame the venue's second choice takes their place.
    ///
    /// A channel that speaks when something happens may have had nothing to say. Its second choice is asked beside it, after
    /// [`VenueConfig::silent_after_ns`], and takes its place when it shows that there was; if the first one speaks after
    /// all, the second one is given up.
    pub(super) fn fall_back(&mut self, mono: i64) -> Result<(), ControlFault> {
        for v in 0..self.venues.len() {
            let venue = self.venues[v].plan.venue;
            let open = self.venues[v].slots.iter().filter(|s| s.current.is_some());
            let Some(age) = open.map(|s| mono - s.opened_at).min() else { continue };
            self.ask_beside(v, age, mono)?;
            if let Some((dead, other)) = self.never_served(v, mono - age, mono) {
                tracing::warn!(
                    venue = venue.spec().id,
                    channel = dead,
                    instead = other,
                    "the venue serves nothing on this channel"
                );
                self.take_instead(v, dead, other, mono)?;
            }
        }
        Ok(())
    }

    /// A book's channel that the venue has taken and does not serve, and its second choice. `opened`: when the youngest
    /// connection was.
    fn never_served(&mut self, v: usize, opened: i64, now: i64) -> Option<(String, &'static str)> {
        let venue = self.venues[v].plan.venue;
        let spec = venue.spec();
        let limit = i64::from(spec.fallback_after_s) * S;
        let channels = self.venues[v].plan.config.channels.clone();
        for c in channels {
            let Some(other) = venue.fallback(&c).filter(|_| is_book(venue, &c)) else { continue };
            let (frames, confirmed) = self.said_by(v, &c);
            if frames > 0 {
                continue;
            }
            // Where the venue confirms, its time begins with the first confirmation; one that never comes is waited for longer.
            let tried = &mut self.venues[v].tried;
            let (since, limit) = match (spec.acknowledges, confirmed) {
                (false, _) => (opened, limit),
                (true, 0) => (opened, 3 * limit),
                (true, _) => (opened.max(*tried.entry(c.clone()).or_insert(now)), limit),
            };
            if now - since >= limit {
                return Some((c, other));
            }
        }
        None
    }

    /// Frames of a channel, of all its streams.
    fn frames_of(&self, id: &str, channel: &str) -> u64 {
        let lanes = self.parts.shared.lanes();
        let streams = lanes.iter().flat_map(|l| l.streams());
        streams.filter(|s| s.venue == id && s.channel == channel).map(|s| s.frames.get()).sum()
    }

    /// Second choices of channels that are no books. `age`: of the youngest open connection.
    fn ask_beside(&mut self, v: usize, age: i64, now: i64) -> Result<(), ControlFault> {
        let (venue, config) = (self.venues[v].plan.venue, &self.venues[v].plan.config);
        let (id, after) = (venue.spec().id, config.silent_after_ns);
        let asked = |c: &str| self.venues[v].beside.iter().any(|(of, _)| of == c);
        let is_of = |c: &'_ str, name: &str| venue.parse_stream(name).is_some_and(|s| s.channel == c);
        for c in config.channels.clone() {
            let Some(other) = venue.fallback(&c).filter(|_| after > 0 && !is_book(venue, &c)) else {
                continue;
            };
            let has_both = config.channels.iter().any(|x| x == other);
            let is_heard = self.frames_of(id, &c) > 0;
            if asked(&c) && is_heard {
                tracing::info!(
                    venue = id,
                    channel = c,
                    other,
                    "speaks after all: its second choice is given up"
                );
                let mut next = config.clone();
                next.channels.retain(|x| x != other);
                self.venues[v].beside.retain(|(of, _)| *of != c);
                return self.change(v, next, now);
            }
            if asked(&c) && self.firsts.is_shown(v, &|name| is_of(&c, name)) {
                tracing::warn!(
                    venue = id,
                    channel = c,
                    instead = other,
                    "the venue serves nothing on this channel"
                );
                self.venues[v].beside.retain(|(of, _)| *of != c);
                return self.take_instead(v, c, other, now);
            }
            if !is_heard && !has_both && age >= after {
                tracing::info!(
                    venue = id,
                    channel = c,
                    beside = other,
                    "silent so far: its second choice is asked beside it"
                );
                let mut next = config.clone();
                next.channels.push(other.to_owned());
                self.venues[v].beside.push((c, other));
                return self.change(v, next, now);
            }
        }
        Ok(())
    }

    /// The venue refused a message of ours; where it has a second choice for the channel, that is taken.
    pub(super) fn refused(
        &mut self,
        conn: ConnId,
        code: i64,
        stream: &str,
        said: &str,
    ) -> Result<(), ControlFault> {
        let Some(v) = self.owner.get(&conn).copied() else { return Ok(()) };
        let venue = self.venues[v].plan.venue;
        tracing::warn!(
            venue = venue.spec().id,
            conn,
            code,
            stream,
            said,
            "the venue refused a message of ours"
        );
        if venue.is_full(code) && self.moves_away(v, conn, stream) {
            return Ok(());
        }
        match second_choice(venue, &self.venues[v].plan.config.channels, code, stream) {
            Some((dead, other)) => self.take_instead(v, dead, other, clock::mono_ns()),
            None => Ok(()),
        }
    }

    /// The second choice takes the place of a channel that is not served, now and in configurations to come. What has said nothing
    /// on it is silent up to here, whatever a snapshot has proven meanwhile.
    fn take_instead(
        &mut self,
        v: usize,
        dead: String,
        other: &'static str,
        now: i64,
    ) -> Result<(), ControlFault> {
        self.tell_unserved(v, &dead);
        let mut next = self.venues[v].plan.config.clone();
        replace_channel(&mut next, &dead, other);
        self.venues[v].fallen.push((dead, other));
        self.change(v, next, now)
    }

    /// The lanes hear of all streams of a channel that have never spoken of their own accord.
    fn tell_unserved(&self, v: usize, channel: &str) {
        let heard = self.all_heard();
        for s in &self.venues[v].slots {
            let Some(conn) = s.current else { continue };
            for stream in s.slot.conn.streams.iter().filter(|s| s.channel == channel) {
                let said = heard.of(&(v, stream.name.clone()));
                if said.frames == 0 {
                    let (stream, last_recv) = (stream.name.clone(), said.last_recv);
                    self.order(s.slot.lane, ToLane::Silent { conn, stream, last_recv });
                }
            }
        }
    }
}

/// The channel of a stream that was refused and the one to take in its place. A refusal that is about the symbol costs the
/// others nothing: if the venue does not serve the channel at all, its silence tells.
fn second_choice(
    venue: &dyn crate::venue::Venue,
    channels: &[String],
    code: i64,
    stream: &str,
) -> Option<(String, &'static str)> {
    let channel = venue.parse_stream(stream).map(|s| s.channel)?;
    let other = venue.fallback(&channel)?;
    (channels.contains(&channel) && !venue.is_of_symbol(code)).then_some((channel, other))
}

/// Whether a channel brings a book's changes: of these there is one for a book, and no two tell of the same events.
fn is_book(venue: &dyn crate::venue::Venue, channel: &str) -> bool {
    let symbol = venue.spec().symbol_example;
    venue.stream(channel, Some(symbol)).is_ok_and(|s| s.kind == StreamKind::DepthDiff)
}

fn replace_channel(config: &mut VenueConfig, dead: &str, other: &str) {
    if config.channels.iter().any(|c| c == dead) {
        config.channels.retain(|c| c != other);
        for c in config.channels.iter_mut().filter(|c| *c == dead) {
            other.clone_into(c);
        }
    }
}

/// The lanes to which rows of symbols may come that nobody has named.
fn market_lanes(wanted: &[LaneStreams], polls: &[PollState]) -> Vec<LaneId> {
    let is_market = |s: &StreamSpec| s.symbol.is_none() && s.kind != StreamKind::RawOnly;
    let streams = wanted.iter().filter(|(_, s)| s.iter().any(is_market)).map(|(lane, _)| *lane);
    let polls = polls.iter().filter(|p| p.is_market()).map(PollState::lane);
    streams.chain(polls).collect::<BTreeSet<_>>().into_iter().collect()
}

/// A book's channel stays that of `old` where symbols stay that have a book; says so. All else of `new` holds.
fn keep_chain(old: &VenueConfig, new: &mut VenueConfig) -> Option<String> {
    let (a, b) = other_chain(old, new).map(|(a, b)| (a.to_owned(), b.to_owned()))?;
    replace_channel(new, &b, &a);
    Some(format!("{}: {a} to {b} of symbols that stay (remove them first)", new.id))
}

/// The diff streams of both, if symbols that stay would get another one: two chains of one book.
fn other_chain<'a>(old: &'a VenueConfig, new: &'a VenueConfig) -> Option<(&'a str, &'a str)> {
    let diffs = |c: &'a VenueConfig| {
        let (_, venue) = crate::venue::by_id(&c.id)?;
        // Which streams are diffs does not depend on the symbol; a rule has none yet.
        let symbol = c.symbols.first().map_or("BTCUSDT", String::as_str);
        c.channels.iter().map(String::as_str).find(|channel| {
            venue.stream(channel, Some(symbol)).is_ok_and(|s| s.kind == StreamKind::DepthDiff)
        })
    };
    let (a, b) = (diffs(old)?, diffs(new)?);
    let by_rule = old.rule.is_some() || new.rule.is_some();
    let stays = by_rule || new.symbols.iter().any(|s| old.symbols.contains(s));
    (a != b && stays).then_some((a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn venue(symbols: &str, channels: &str) -> VenueConfig {
        let text = format!("[[venue]]\nid = \"aster-futures\"\nsymbols = {symbols}\nchannels = {channels}\n");
        Config::from_parts("x.toml", &text, [], &[]).unwrap().venues.remove(0)
    }

    #[test]
    fn a_book_that_stays_keeps_its_chain_and_all_else_is_taken() {
        let old = venue(r#"["BTCUSDT"]"#, r#"["depth@100ms", "aggTrade"]"#);
        let mut new = venue(r#"["BTCUSDT", "ETHUSDT"]"#, r#"["depth@500ms", "aggTrade", "trade"]"#);
        let told = keep_chain(&old, &mut new).unwrap();
        assert!(told.contains("depth@100ms to depth@500ms"), "{told}");
        assert_eq!(new.symbols, ["BTCUSDT", "ETHUSDT"]);
        assert_eq!(new.channels, ["depth@100ms", "aggTrade", "trade"]);
        // A rule is taken too; books of which none stays may have the other chain.
        let mut by_rule = venue(r#"{ quote = "USDT" }"#, r#"["depth@500ms"]"#);
        assert!(keep_chain(&old, &mut by_rule).is_some());
        assert!(by_rule.rule.is_some() && by_rule.channels == ["depth@100ms"], "{by_rule:?}");
        let mut others = venue(r#"["ETHUSDT"]"#, r#"["depth@500ms"]"#);
        assert!(keep_chain(&old, &mut others).is_none() && others.channels == ["depth@500ms"]);
    }

    #[test]
    fn a_symbol_that_is_refused_moves_no_other_one_off_its_channel() {
        let (_, venue) = crate::venue::by_id("ascendex-spot").unwrap();
        let channels = ["depth-realtime".to_owned(), "trades".to_owned()];
        let choice = |code, stream| second_choice(venue, &channels, code, stream);
        assert_eq!(choice(100_008, "depth-realtime:ETH/USDT"), None);
        let dead = Some(("depth-realtime".to_owned(), "depth"));
        assert_eq!(choice(100_009, "depth-realtime:ETH/USDT"), dead);
        assert_eq!(choice(100_009, "trades:ETH/USDT"), None);
        assert_eq!(second_choice(venue, &channels[1..], 100_009, "depth-realtime:ETH/USDT"), None);
    }
}
