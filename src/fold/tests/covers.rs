//! A row of `coverage` names the connection that brought the stream, and frames of that one.

use super::{Tape, quote};
use crate::model::{Head, row::CoverageRow};

const AT: i64 = 1_000_000_000;

/// What a row of `coverage` says of connections and frames.
#[derive(Debug)]
pub(super) struct Covered {
    stream: String,
    /// As any row names its frame.
    head: (i64, i64),
    leg: i64,
    span: (i64, i64),
    frames: (i64, i64),
}

impl Covered {
    pub fn of(h: &Head, c: &CoverageRow<'_>) -> Covered {
        Covered {
            stream: c.stream.to_owned(),
            head: (h.conn, h.rseq),
            leg: c.leg,
            span: (c.ts_begin, c.ts_end),
            frames: (c.rseq_begin, c.rseq_end),
        }
    }

    /// Stream; connection, leg, first and last frame.
    pub fn says(&self) -> (&str, (i64, i64, i64, i64)) {
        (&self.stream, (self.head.0, self.leg, self.frames.0, self.frames.1))
    }
}

/// A tape and what was put on it.
struct Told {
    tape: Tape,
    /// Connection, number, stream, time.
    frames: Vec<(i64, i64, &'static str, i64)>,
    /// Connection, leg, from when to when.
    lives: Vec<(i64, u8, i64, i64)>,
    id: i64,
}

impl Told {
    fn new() -> Told {
        Told { tape: Tape::new(), frames: Vec::new(), lives: Vec::new(), id: 100 }
    }

    fn opens(&mut self, conn: i64, leg: u8) {
        self.tape.leg(conn, leg);
        self.lives.push((conn, leg, self.tape.ts, i64::MAX));
    }

    fn closes(&mut self, conn: i64) {
        self.tape.conn("close", conn, "venue_disconnect");
        let at = self.tape.ts;
        self.lives.iter_mut().filter(|l| l.0 == conn).for_each(|l| l.3 = at);
    }

    fn trade(&mut self, conn: i64, id: i64) -> i64 {
        self.tape.trade(conn, id);
        self.note(conn, "btcusdt@trade");
        self.tape.rseq
    }

    fn note(&mut self, conn: i64, stream: &'static str) {
        self.frames.push((conn, self.tape.rseq, stream, self.tape.ts));
    }

    /// The next event of each stream, by the first of these connections and then by the others.
    fn event(&mut self, conns: &[i64]) {
        self.id += 1;
        let id = self.id;
        for conn in conns {
            self.tape.diff(*conn, id, id, id - 1, "[\"90\",\"1\"]", "");
            self.note(*conn, "btcusdt@depth@100ms");
            self.tape.trade(*conn, id);
            self.note(*conn, "btcusdt@trade");
            self.tape.frame(*conn, &quote(id));
            self.note(*conn, "btcusdt@bookTicker");
        }
    }

    /// What is wrong with the rows.
    fn faults(&self) -> Vec<String> {
        let mut found = Vec::new();
        for c in &self.tape.rows.covers {
            let (begin, end) = c.span;
            let lived = |l: &&(i64, u8, i64, i64)| l.0 == c.head.0 && l.2 <= end && l.3 >= begin;
            let Some(life) = self.lives.iter().find(lived) else {
                found.push(format!("was not open then: {c:?}"));
                continue;
            };
            if i64::from(life.1) != c.leg {
                found.push(format!("another leg: {c:?}"));
            }
            let names = |rseq: i64| {
                let it = |f: &&(i64, i64, &str, i64)| (f.0, f.1) == (c.head.0, rseq) && f.2 == c.stream;
                // A snapshot is proven by what came before it.
                self.frames.iter().find(it).is_some_and(|f| f.3 <= end)
            };
            let (a, b) = c.frames;
            if [a, b].iter().any(|r| *r >= 0 && !names(*r)) {
                found.push(format!("no frame of it in that time: {c:?}"));
            }
            if a > b {
                found.push(format!("ends before it begins: {c:?}"));
            }
            if c.head.1 >= 0 && !self.frames.iter().any(|f| (f.0, f.1) == c.head) {
                found.push(format!("the row is of no frame: {c:?}"));
            }
        }
        found
    }

    /// Frames that the rows of a stream name whose time begins at `at`.
    fn named(&self, stream: &str, at: i64) -> Vec<(i64, i64, i64)> {
        let of = |c: &&Covered| c.stream == stream && c.span.0 == at;
        self.tape.rows.covers.iter().filter(of).map(|c| (c.head.0, c.frames.0, c.frames.1)).collect()
    }
}

const ALL: [&str; 3] = ["btcusdt@depth@100ms", "btcusdt@trade", "btcusdt@bookTicker"];

#[test]
fn a_connection_that_is_replaced_leaves_its_name_to_no_time_behind_it() {
    let mut t = Told::new();
    t.opens(7, 0);
    t.event(&[7]);
    t.tape.snapshot(100);
    t.event(&[7]);
    t.tape.boundary(AT);
    t.event(&[7]);
    t.opens(9, 0);
    t.event(&[7, 9]);
    t.event(&[9, 7]);
    t.closes(7);
    t.event(&[9]);
    t.tape.boundary(2 * AT);
    let first = t.tape.rseq;
    t.event(&[9]);
    t.event(&[9]);
    t.tape.boundary(3 * AT);
    t.tape.boundary(4 * AT);
    assert_eq!(t.faults(), Vec::<String>::new());
    for (i, stream) in ALL.iter().enumerate() {
        let i = i as i64;
        // As many events as there are streams lie between two of the same one.
        assert_eq!(t.named(stream, 2 * AT), [(9, first + 1 + i, first + 4 + i)], "{stream}");
        assert_eq!(t.named(stream, 3 * AT), [(9, -1, -1)], "nothing came: {stream}");
    }
}

#[test]
fn with_two_legs_a_row_names_frames_of_one() {
    let mut t = Told::new();
    t.opens(7, 0);
    t.opens(8, 1);
    t.event(&[7, 8]);
    t.tape.snapshot(100);
    t.event(&[8, 7]);
    t.tape.boundary(AT);
    t.event(&[8, 7]);
    t.event(&[7, 8]);
    t.tape.boundary(2 * AT);
    t.event(&[8, 7]);
    t.closes(7);
    t.opens(9, 0);
    t.event(&[9, 8]);
    t.tape.boundary(3 * AT);
    t.closes(8);
    t.tape.boundary(4 * AT);
    assert_eq!(t.faults(), Vec::<String>::new());
}

/// What was missing is told two seconds later, when another connection has long brought the stream.
#[test]
fn what_ends_at_a_hole_names_the_frame_before_it_and_whose_it_was() {
    let mut t = Told::new();
    t.opens(7, 0);
    let since = t.tape.ts;
    t.opens(8, 1);
    let first = t.trade(7, 100);
    let found = t.trade(8, 103);
    let at = t.tape.ts;
    t.tape.wait_over();
    let last = t.trade(8, 104);
    t.closes(7);
    t.closes(8);
    assert_eq!(t.faults(), Vec::<String>::new());
    assert_eq!(t.named("btcusdt@trade", since), [(7, first, first)]);
    assert_eq!(t.named("btcusdt@trade", at), [(8, found, last)]);
}

/// The book is proven by what a connection brought that is gone: what it covers from then on is the next one's.
#[test]
fn a_snapshot_that_a_connection_s_diffs_prove_which_is_gone_names_none_of_them() {
    for legs in [false, true] {
        let mut t = Told::new();
        t.opens(7, 0);
        if legs {
            t.opens(9, 1);
        }
        t.event(&[7]);
        t.event(&[7]);
        t.closes(7);
        if !legs {
            t.opens(9, 0);
        }
        t.tape.snapshot(101);
        t.tape.boundary(AT);
        let first = t.tape.rseq + 1;
        t.event(&[9]);
        t.event(&[9]);
        t.tape.boundary(2 * AT);
        assert_eq!(t.faults(), Vec::<String>::new());
        assert_eq!(t.named(ALL[0], AT), [(9, first, first + 3)]);
        let proven: Vec<_> = t.tape.rows.covers.iter().filter(|c| c.stream == ALL[0]).collect();
        assert!(proven.len() == 2 && proven[0].says().1.2 < 0, "{proven:?}");
    }
}

/// Of a stream that was silent when an interval ended, the row is told when it is known what it was.
#[test]
fn what_ends_at_a_boundary_names_no_connection_that_came_after_it() {
    for spoke in [false, true] {
        let mut t = Told::new();
        t.opens(7, 0);
        let since = t.tape.ts;
        let first = t.tape.rseq + 1;
        if spoke {
            t.event(&[7]);
            t.event(&[7]);
        }
        t.tape.boundary(3 * AT);
        t.opens(8, 1);
        t.event(&[8]);
        t.tape.conn("pong", 7, "");
        t.event(&[8]);
        t.tape.boundary(4 * AT);
        assert_eq!(t.faults(), Vec::<String>::new());
        let frames = if spoke { (7, first + 1, first + 4) } else { (7, -1, -1) };
        assert_eq!(t.named(ALL[1], since), [frames]);
    }
}

/// The one that spoke last is gone before the stretch begins, and the one that carried it through is gone when it is told.
#[test]
fn a_stretch_in_which_nothing_came_names_the_connection_that_carried_the_stream_to_its_end() {
    for ends in ["close", "stop", "gone at the boundary"] {
        let mut t = Told::new();
        t.opens(8, 1);
        t.opens(7, 0);
        t.event(&[8, 7]);
        t.tape.snapshot(100);
        t.event(&[8, 7]);
        t.closes(7);
        t.tape.conn("pong", 8, "");
        t.tape.boundary(AT);
        t.tape.conn("pong", 8, "");
        match ends {
            "close" => t.closes(8),
            "stop" => t.tape.stop(),
            _ => {
                t.tape.boundary(5 * AT);
                t.closes(8);
            }
        }
        assert_eq!(t.faults(), Vec::<String>::new(), "{ends}");
        for stream in ALL {
            assert_eq!(t.named(stream, AT), [(8, -1, -1)], "{stream} {ends}");
        }
    }
}
