//! What the control thread and the lanes say to each other, over bounded channels.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::carried::Carried;
use crate::fold::Wanted;

use crate::metrics::BookMetrics;
use crate::model::control::LatencyNote;
use crate::model::{AuditVerdict, ConnId, InstrumentVersion, LaneId, Listed, Subscribed, TimerEvent, Tuning};
use crate::wire::reader::{CloseInfo, ConnectRequest};

/// Letters of a venue's own words that go into a log, which escapes them.
const SAID_MAX: usize = 200;

/// The beginning of what a venue says.
pub fn beginning(text: &str) -> String {
    text.chars().take(SAID_MAX).collect()
}

/// A connection to open.
#[derive(Debug)]
pub struct OpenLink {
    /// Its id.
    pub conn: ConnId,
    /// Venue slug.
    pub venue: &'static str,
    /// 0 or 1.
    pub leg: u8,
    /// Position in the venue's plan.
    pub slot: u32,
    /// Its URL.
    pub url: String,
    /// What it carries, and what its venue says of that.
    pub carried: Arc<Carried>,
    /// The answer to the venue's pings by message, if there is one.
    pub pong: Option<&'static str>,
    /// What the configuration says of the venue.
    pub tuning: Tuning,
}

/// A REST answer for a lane.
#[derive(Debug)]
pub struct RestBody {
    /// The REST connection.
    pub conn: ConnId,
    /// Venue slug.
    pub venue: &'static str,
    /// Path and query.
    pub url: String,
    /// HTTP status; 0 = there was no answer.
    pub status: i32,
    /// The body.
    pub body: Vec<u8>,
}

/// What the converter's folds miss, for control: the converter knows earlier runs, which a lane does not.
#[derive(Debug, Default)]
pub struct Missed {
    version: AtomicU64,
    list: Mutex<Vec<(LaneId, Wanted)>>,
    earlier: Mutex<Option<Vec<(LaneId, InstrumentVersion)>>>,
}

impl Missed {
    /// The list is this now.
    pub fn set(&self, new: Vec<(LaneId, Wanted)>) {
        // A poisoned lock still holds a good list.
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if *list != new {
            *list = new;
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    /// The newest versions of all instruments that the lanes of earlier runs have recorded.
    pub fn set_earlier(&self, all: Vec<(LaneId, InstrumentVersion)>) {
        *self.earlier.lock().unwrap_or_else(PoisonError::into_inner) = Some(all);
    }

    /// The same, once; `None`: the converter has not read so far yet.
    pub fn take_earlier(&self) -> Option<Vec<(LaneId, InstrumentVersion)>> {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The list, if it is another one than that of `seen`.
    pub fn newer(&self, seen: &mut u64) -> Option<Vec<(LaneId, Wanted)>> {
        let version = self.version.load(Ordering::Acquire);
        if version == *seen {
            return None;
        }
        *seen = version;
        Some(self.list.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Control to lane.
#[derive(Debug)]
pub enum ToLane {
    /// Open a connection; the request's token is its id.
    Open(Box<OpenLink>, Box<ConnectRequest>),
    /// Close one that is replaced or no longer wanted; nothing is lost by it. Those of its streams that the venue's plan
    /// does not name end with it.
    Close {
        /// Which.
        conn: ConnId,
        /// For people.
        why: &'static str,
    },
    /// A text to send; a connection that is gone by then takes it with it.
    Send {
        /// On which connection.
        conn: ConnId,
        /// The text.
        text: String,
    },
    /// What a venue's streams in this lane are now; others are no longer wanted and end with their connection.
    Plan(crate::model::control::PlanNote),
    /// The books of a venue in this lane, for their sizes; those before are no longer shown.
    Books {
        /// Venue slug.
        venue: String,
        /// All of them.
        books: Vec<Arc<BookMetrics>>,
    },
    /// A REST answer.
    Rest(Box<RestBody>),
    /// New versions of instruments.
    Instruments(Vec<Listed>),
    /// A stream brought nothing although it should have; void if a frame has come since.
    Silent {
        /// On which connection.
        conn: ConnId,
        /// Its name.
        stream: String,
        /// Receive time of its last frame, as control knew it.
        last_recv: i64,
    },
    /// A stream that was called silent because its whole connection was, which speaks now.
    Served {
        /// On which connection.
        conn: ConnId,
        /// Its name.
        stream: String,
    },
    /// Streams that are wanted and that no connection carries yet.
    Await(Box<Subscribed>),
    /// A verdict of control's clocks.
    Timer(TimerEvent),
    /// A minute's histograms.
    Latency(Vec<LatencyNote>),
    /// The run ends.
    Stop,
}

/// A proven book was held against a snapshot.
#[derive(Debug)]
pub struct Audited {
    /// Venue slug.
    pub venue: String,
    /// Symbol.
    pub symbol: String,
    /// What came of it.
    pub verdict: AuditVerdict,
    /// Id of the snapshot.
    pub seq: i64,
    /// Levels that were compared.
    pub compared: i64,
    /// Of these, different ones.
    pub wrong: i64,
}

/// Lane to control.
#[derive(Debug)]
pub enum FromLane {
    /// A connection is open and subscribed.
    Opened {
        /// Which.
        conn: ConnId,
    },
    /// A connection is gone, or never came.
    Closed {
        /// Which.
        conn: ConnId,
        /// Why.
        info: CloseInfo,
    },
    /// A connection cannot even be tried.
    Unopened {
        /// Which.
        conn: ConnId,
        /// Why.
        why: String,
    },
    /// A book needs a snapshot.
    NeedSnapshot {
        /// Whose lane.
        lane: LaneId,
        /// Venue slug.
        venue: String,
        /// Symbol.
        symbol: String,
        /// Snapshots in a row that did not prove it.
        attempt: u32,
        /// The connection to ask on where they come in-band; 0 = any that carries its stream.
        conn: ConnId,
    },
    /// A connection is to take the place of the one that feeds a proven book, and needs a snapshot of its own.
    Successor {
        /// Whose lane.
        lane: LaneId,
        /// The new connection.
        conn: ConnId,
        /// Venue slug.
        venue: String,
        /// Symbol.
        symbol: String,
    },
    /// A text went out on a connection of a venue whose snapshots are asked for there.
    Sent {
        /// On which connection.
        conn: ConnId,
        /// The text.
        text: String,
    },
    /// A snapshot was held against a proven book.
    Compared {
        /// Venue slug.
        venue: String,
        /// Symbol.
        symbol: String,
        /// It is newer than the book and other than it.
        ahead: bool,
    },
    /// The snapshot that a book asked for is here, and its stream's own word is awaited.
    Loaded {
        /// Venue slug.
        venue: String,
        /// Symbol.
        symbol: String,
    },
    /// An audit is over.
    Audited(Audited),
    /// A book is proven.
    Synced {
        /// Venue slug.
        venue: String,
        /// Symbol.
        symbol: String,
    },
    /// Frames could not be read, or not all of them.
    Unread {
        /// Venue slug.
        venue: &'static str,
        /// The stream, "" if that could not be read.
        stream: String,
        /// How many there were since this was last said.
        frames: u64,
        /// Which part of the last one.
        detail: &'static str,
    },
    /// The venue will close this connection soon.
    Replace {
        /// Which.
        conn: ConnId,
    },
    /// The venue refused something.
    Refused {
        /// On which connection.
        conn: ConnId,
        /// Its code.
        code: i64,
        /// The stream that it is about, "" if it names none.
        stream: String,
        /// The beginning of what the venue says of it. Untrusted text.
        said: String,
    },
    /// What a stream's ids are is another thing than before, or is known now.
    Class {
        /// Venue slug.
        venue: String,
        /// The stream.
        stream: String,
        /// What they were taken for.
        was: &'static str,
        /// What they are.
        class: &'static str,
    },
    /// A market opened, changed or closed.
    Listing {
        /// Venue slug.
        venue: &'static str,
    },
    /// What stays in `raw` alone: events of no table, unknown ones.
    Others {
        /// Whose lane.
        lane: LaneId,
        /// How many in all.
        total: u64,
        /// The same by name, of the first so many names.
        by_name: Vec<(String, u64)>,
    },
    /// The lane wrote its stop record and is done.
    Stopped {
        /// Which lane.
        lane: LaneId,
    },
    /// The lane cannot go on.
    Failed {
        /// Which lane.
        lane: LaneId,
        /// Why.
        why: String,
    },
}
