//! What clients of a venue with words of its own ask for on the socket: topics, and books that take their time.

use std::collections::VecDeque;
use std::rc::Rc;

use super::faults::FaultKind;
use super::foreign::{Shown, book_of};
use super::listing::Listing;
use super::outbound::{Conn, End};
use super::streams::Scope;
use super::world::World;
use crate::model::dialect::IdScheme;
use crate::model::words::{BookWish, Heard, NoBook, Quotas, Wish, Words};

/// An answer on its way.
struct Due {
    at: i64,
    conn: Rc<Conn>,
    what: What,
}

enum What {
    Text(String),
    Look(String),
    Book { wish: BookWish, sym: usize, kept: Option<Kept>, cut: bool },
}

/// A book as `(id, ms of its last change, bids, asks)`, best first, in ticks and steps.
type Kept = (i64, i64, Vec<(i64, i64)>, Vec<(i64, i64)>);

/// Answers on their way, and how many messages of a kind came in the last minute.
#[derive(Default)]
pub(super) struct Later {
    due: Vec<Due>,
    wishes: Group,
    books: Group,
}

/// Messages that share one threshold.
#[derive(Default)]
struct Group {
    heard: VecDeque<i64>,
    ignored_until: i64,
}

impl Group {
    /// Whether one more is heard at all.
    fn takes(&mut self, now: i64, most: usize, ignored_ms: i64) -> bool {
        while self.heard.front().is_some_and(|t| now - t >= 60_000) {
            self.heard.pop_front();
        }
        if now < self.ignored_until {
            return false;
        }
        self.heard.push_back(now);
        if self.heard.len() > most {
            self.ignored_until = now + ignored_ms;
        }
        self.heard.len() <= most
    }
}

impl World {
    /// The first word on a connection.
    pub(super) fn greet(&mut self, conn: &Conn) {
        if let Some(text) = self.shape.d.words.and_then(|sp| sp.greeting()) {
            self.reply(conn, text);
        }
    }

    /// Answers a text in a venue's own words.
    pub(super) fn foreign_text(&mut self, conn: &Rc<Conn>, sp: &'static dyn Words, text: &str) {
        let now = self.now;
        let heard = sp.hear(text, now);
        if let Some(Quotas { wishes, books, ignored_ms }) = sp.quotas() {
            let takes = match heard {
                Heard::Wish(_) => self.later.wishes.takes(now, wishes, ignored_ms),
                Heard::Book(_) | Heard::Look => self.later.books.takes(now, books, ignored_ms),
                _ => true,
            };
            if !takes {
                return;
            }
        }
        match heard {
            Heard::Answer(t) => self.reply(conn, &t),
            Heard::Ping(t, quiet_ms) => {
                {
                    let mut s = conn.side.borrow_mut();
                    s.client_ping = now;
                    if quiet_ms > 0 {
                        let every = self.cfg.ping_every_ms.unwrap_or(self.shape.d.ping_every_ms);
                        (s.pong_missing, s.pinged) = (None, now + quiet_ms - every as i64);
                    }
                }
                self.reply(conn, &t);
            }
            Heard::Pong => conn.side.borrow_mut().pong_missing = None,
            Heard::Wish(w) => self.on_wish(conn, sp, &w),
            Heard::Book(w) => self.on_book_wish(conn, sp, w),
            Heard::Look => self.later(conn, sp.delays().0, What::Look(text.to_owned())),
            Heard::Nothing => {}
        }
    }

    fn on_wish(&mut self, conn: &Rc<Conn>, sp: &dyn Words, wish: &Wish) {
        let mut taken = vec![true; wish.topics.len()];
        if wish.ends {
            self.unsubscribe(conn, &wish.topics);
        } else if sp.judges_each() {
            return self.judge_each(conn, sp, wish);
        } else {
            let refused = self.rest.use_up(FaultKind::RefuseSubscribe, "");
            // With a code of the venue's own table.
            if let Some(text) = refused.as_ref().and_then(|f| sp.refused_with(f.code?)) {
                return self.later(conn, sp.delays().0, What::Text(text));
            }
            if refused.is_some() || wish.topics.iter().any(|n| sp.topic(n).is_none()) {
                taken.fill(false);
            } else if !self.subscribe(conn, &wish.topics, None) {
                return;
            }
        }
        for text in sp.answer(wish, &taken) {
            self.later(conn, sp.delays().0, What::Text(text));
        }
    }

    /// Takes and refuses each topic for itself.
    fn judge_each(&mut self, conn: &Rc<Conn>, sp: &dyn Words, wish: &Wish) {
        let (mut taken, mut apart) = (Vec::new(), Vec::new());
        let mut answered = Wish { topics: Vec::new(), ..wish.clone() };
        for name in &wish.topics {
            let symbol = sp.topic(name).map_or_else(String::new, |t| t.0.into_owned());
            let refused = match self.is_listed(name) {
                true => self.rest.use_up(FaultKind::RefuseSubscribe, &symbol),
                false => None,
            };
            // With a code of the venue's own table.
            if let Some(text) = refused.as_ref().and_then(|f| sp.refuses(wish, name, f.code?)) {
                apart.push(text);
                continue;
            }
            let is_taken = refused.is_none() && self.is_listed(name);
            if is_taken && !self.subscribe(conn, std::slice::from_ref(name), None) {
                return;
            }
            answered.topics.push(name.clone());
            taken.push(is_taken);
        }
        apart.extend(sp.answer(&answered, &taken));
        for text in apart {
            self.later(conn, sp.delays().0, What::Text(text));
        }
    }

    /// Whether a topic's symbol is listed.
    fn is_listed(&self, name: &str) -> bool {
        let d = self.shape.d;
        match super::streams::parse(d, &self.by_name, &self.by_pair, name).map(|w| w.scope) {
            Some(Scope::Symbol(s)) => self.symbols[s].listing != Listing::Gone,
            Some(Scope::All) => true,
            _ => false,
        }
    }

    fn on_book_wish(&mut self, conn: &Rc<Conn>, sp: &dyn Words, wish: BookWish) {
        let (answers, books) = sp.delays();
        let Some(sym) = self.find(&wish.symbol) else {
            return self.later(conn, answers, What::Text(sp.no_book(&wish, NoBook::Unknown)));
        };
        if wish.topic.is_none() {
            return self.later(conn, books, What::Book { wish, sym, kept: None, cut: false });
        }
        if self.rest.use_up(FaultKind::RefuseSnapshot, &wish.symbol).is_some() {
            return self.later(conn, answers, What::Text(sp.no_book(&wish, NoBook::NotNow)));
        }
        let cut = self.rest.use_up(FaultKind::TruncatedJson, &wish.symbol).is_some();
        let (mut kept, mut wait) = (None, books);
        if self.rest.use_up(FaultKind::StaleSnapshot, &wish.symbol).is_some() {
            kept = self.rest.kept_book(sym).map(|(id, bids, asks)| (id, self.start, bids, asks));
        }
        if let Some(f) = self.rest.use_up(FaultKind::LateSnapshot, &wish.symbol) {
            // As it is now, but told later: diffs overtake it.
            kept = Some(self.book_now(sym, &wish));
            wait += f.for_ms as i64;
        }
        self.later(conn, wait, What::Book { wish, sym, kept, cut });
    }

    /// Says it now if it need not wait.
    fn later(&mut self, conn: &Rc<Conn>, wait: i64, what: What) {
        match what {
            What::Text(text) if wait == 0 => self.reply(conn, &text),
            what => self.later.due.push(Due { at: self.now + wait, conn: conn.clone(), what }),
        }
    }

    /// The book as the diffs have told it: what they have not told yet goes first.
    fn book_now(&mut self, sym: usize, wish: &BookWish) -> Kept {
        self.flush_depth(sym, wish.speed);
        let s = &self.symbols[sym];
        let m = &s.market;
        let ts = m.touched.last().map_or(self.now, |t| t.at);
        (
            if self.shape.d.ids == IdScheme::PerFrame { s.told(wish.speed) } else { m.last_id },
            ts,
            m.bids.best_first().take(wish.levels).collect(),
            m.asks.best_first().take(wish.levels).collect(),
        )
    }

    /// Gives the answers whose time has come.
    pub(super) fn later_due(&mut self) {
        let Some(sp) = self.shape.d.words else { return };
        while let Some(n) = self.later.due.iter().position(|d| d.at <= self.now) {
            let Due { conn, what, .. } = self.later.due.remove(n);
            match what {
                What::Text(text) => self.reply(&conn, &text),
                What::Look(text) => {
                    let answer = sp.look(&text, &Shown(self));
                    self.reply(&conn, &answer);
                }
                What::Book { wish, sym, kept, cut } => {
                    let (id, ts, bids, asks) = kept.unwrap_or_else(|| self.book_now(sym, &wish));
                    let s = &self.symbols[sym];
                    let mut text = String::new();
                    book_of(&s.face, (id, ts, self.now), wish.speed, (&bids, &asks), |b| {
                        text = sp.book_wished(&wish, b);
                    });
                    let symbol = super::text::escaped(&s.def.symbol);
                    match &wish.topic {
                        Some(topic) if !cut => {
                            let line = format!(",\"kind\":\"snapshot\",\"sym\":\"{symbol}\",\"u\":{id}");
                            self.say_as(&conn, topic, &text, line.as_bytes());
                        }
                        Some(_) => {
                            let half = text.floor_char_boundary(text.len() / 2);
                            self.reply(&conn, &text[..half]);
                        }
                        None => self.reply(&conn, &text),
                    }
                }
            }
        }
    }
}

/// Whether a connection ends because its client answers no pings.
pub(super) fn is_pong_timeout(end: &End) -> bool {
    matches!(end, End::Close(_, reason) if reason == "Pong timeout")
}
