//! Whose frames a row of `coverage` names: `(conn, rseq)` is one frame, so all of a row are of one connection.

use serde::{Deserialize, Serialize};

use super::gaps::Cover;
use super::state::{Conn, Core, Stream};
use crate::model::{ConnId, Record, StreamId};

/// A connection, and the leg that it is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct By {
    pub conn: ConnId,
    pub leg: u8,
}

/// A connection, and its first and last frame of a stretch; −1 = none, or not of this one.
pub(super) struct Brought {
    pub by: By,
    pub first: i64,
    pub last: i64,
}

/// What the rows say of a stream, as of a moment that may be over when they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub last_id: i64,
    pub rseq_last: i64,
    pub spoke: By,
    /// One that carried it then.
    pub carried: By,
}

impl Stream {
    /// A frame of a connection is used: the next row may name it.
    pub fn uses(&mut self, by: By, rseq: i64) {
        (self.conn, self.spoke, self.rseq_last) = (by.conn, by, rseq);
        if let Some(c) = self.cover.as_mut().filter(|c| c.rseq_begin < 0) {
            (c.rseq_begin, c.conn) = (rseq, by.conn);
        }
    }

    /// The connection that carried the stream at `ts`: that which was used last, if it did. Where none of those that are there
    /// did, it is the last that is gone.
    pub fn carried_at(&self, ts: i64) -> By {
        let was_there = || self.carriers.iter().filter(|c| c.since <= ts);
        let by = was_there().find(|c| c.conn == self.conn).or_else(|| was_there().next());
        by.map_or(self.left, |c| By { conn: c.conn, leg: c.leg })
    }

    /// Whose frames a row about a stretch names, which ends at `ts_end`: those of the connection that was used last. Where
    /// nothing came it is one that carried the stream.
    pub fn brought(&self, c: &Cover, ts_end: i64) -> Brought {
        if c.rseq_begin < 0 {
            return Brought { by: self.carried_at(ts_end), first: -1, last: -1 };
        }
        let first = if c.conn == self.spoke.conn { c.rseq_begin } else { -1 };
        Brought { by: self.spoke, first, last: self.rseq_last }
    }

    /// What is known of it, at `ts`.
    pub fn known(&self, ts: i64) -> Known {
        let (last_id, rseq_last, spoke) = (self.last_id, self.rseq_last, self.spoke);
        Known { last_id, rseq_last, spoke, carried: self.carried_at(ts) }
    }
}

impl Core {
    /// Notes a frame of a stream.
    pub fn touch(&mut self, id: StreamId, conn: &Conn, rec: &Record<'_>) {
        if let Some(s) = self.streams.get_mut(id.0 as usize) {
            s.uses(By { conn: conn.id, leg: conn.leg }, rec.rseq);
            s.ts_last = rec.ts_recv;
        }
    }
}
