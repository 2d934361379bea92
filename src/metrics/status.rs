//! What `/status` says, as JSON. Fields may be added, never change their meaning.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::latency::HopSummary;
use super::live::{BookState, LaneMetrics, State, VenueMetrics};
use crate::model::LaneId;

/// Everything about a running capture.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Version of the program.
    pub build: &'static str,
    /// Names the run.
    pub run_id: String,
    /// The dataset's directory.
    pub dataset: String,
    /// What it is doing.
    pub state: State,
    /// Whether it captures what it should.
    pub ready: bool,
    /// Why not, "" if it does.
    pub not_ready: String,
    /// Wall clock of the last tick, ns.
    pub now: i64,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Books that are proven.
    pub books_synced: usize,
    /// Books that were and are no longer.
    pub books_stale: usize,
    /// Books that wait for their snapshot.
    pub books_buffering: usize,
    /// Bytes free on the dataset's disk.
    pub disk_free: i64,
    /// Bytes of the dataset's disk.
    pub disk_total: i64,
    /// Resident memory, bytes.
    pub rss: i64,
    /// Bytes of journal segments not yet reclaimed.
    pub journal_bytes: i64,
    /// Bytes held back for a disk that is full.
    pub disk_reserve: i64,
    /// How much is given up because the disk runs full, 0 nothing to 5 everything.
    pub disk_rung: i64,
    /// Streams that are given up for it at this time.
    pub streams_shed: i64,
    /// What the disk refuses at this time; "" = nothing.
    pub storage: String,
    /// One per reader thread, and lane 0.
    pub lanes: Vec<LaneStatus>,
    /// One per venue.
    pub venues: Vec<VenueStatus>,
    /// One per book.
    pub books: Vec<BookStatus>,
    /// One per stream.
    pub streams: Vec<StreamStatus>,
}

/// One lane.
#[derive(Clone, Debug, Serialize)]
pub struct LaneStatus {
    /// Number.
    pub lane: LaneId,
    /// Frames read.
    pub frames: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Frames per second.
    pub frames_per_s: i64,
    /// Frames that could not be parsed.
    pub rejects: u64,
    /// Times the ring was full.
    pub stalls: u64,
    /// Gaps that are over, by cause; causes without one are left out. As many as the streams of this run have rows in `gaps`:
    /// what lies between two runs is told there alone.
    pub gaps: BTreeMap<&'static str, u64>,
    /// Gaps that are open, by cause.
    pub gaps_open: BTreeMap<&'static str, i64>,
    /// Bytes in the raw ring.
    pub ring_used: i64,
    /// Bytes the raw ring can hold.
    pub ring_capacity: i64,
    /// Events that stay in `raw` alone, by name: of streams without a table, and unknown ones.
    pub others: BTreeMap<String, u64>,
    /// How far the four stages are.
    pub marks: Watermarks,
    /// Quantiles per hop of the last minute.
    pub latency: Vec<HopSummary>,
}

/// Always rx ≥ jrn ≥ dur ≥ published, and jrn ≥ converted; `lane_seq`, −1 = none yet. Ages are those of the record at the mark, ns.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Watermarks {
    /// In the raw ring.
    pub rx: i64,
    /// Written to the journal.
    pub jrn: i64,
    /// Synced.
    pub dur: i64,
    /// Turned into rows.
    pub converted: i64,
    /// In published files.
    #[serde(rename = "pub")]
    pub published: i64,
    /// Age at `rx`.
    pub rx_age_ns: i64,
    /// Age at `jrn`.
    pub jrn_age_ns: i64,
    /// Age at `dur`.
    pub dur_age_ns: i64,
    /// Age at `pub`.
    #[serde(rename = "pub_age_ns")]
    pub published_age_ns: i64,
}

/// One venue.
#[derive(Clone, Debug, Serialize)]
pub struct VenueStatus {
    /// Slug.
    pub venue: String,
    /// Open connections.
    pub connections: i64,
    /// The same by leg.
    pub legs: [i64; 2],
    /// Connections opened again after a loss.
    pub reconnects: u64,
    /// Request weight used this minute.
    pub weight_used: i64,
    /// Request weight per minute that we allow ourselves.
    pub weight_limit: i64,
    /// Weight a minute that all polls of its budget need at the pace that is written.
    pub polls_needed: i64,
    /// The most that they may. Where they need more all of them are asked for less often.
    pub polls_allowed: i64,
    /// How many times as long as written the periods of its polls are, in thousandths; 1000 = as written, 0 = not known yet.
    pub polls_stretch_permille: i64,
    /// Books that wait for a snapshot.
    pub snapshots_waiting: i64,
    /// Its first instrument list did not come although it was asked for, or does not fit what is configured, and is asked for
    /// again: nothing of it is recorded.
    pub waits_for_list: bool,
    /// Why its list does not fit; "" = it does, or there is none yet.
    pub list_unfit: String,
    /// Until when the venue lets no connection of this address in, by its own word, ns since the Unix epoch; 0 = it does.
    pub banned_until: i64,
    /// Streams that are subscribed to and never had a frame although something says that they should have (their time is a
    /// gap), and books of which nothing came in time: the venue serves nothing there, or the symbols are dead. Which: their `last_recv_age_ns` is −1.
    pub streams_unheard: i64,
    /// REST requests.
    pub requests: u64,
    /// Of these, failed or refused.
    pub request_failures: u64,
    /// Proven books held against snapshots, by verdict; verdicts that were never given are left out. `differs`: the book was
    /// not what the venue has.
    pub audits: BTreeMap<&'static str, u64>,
    /// Frames read in the shape that is known of their stream, since the start.
    pub frames_quick: u64,
    /// Frames of streams without a known shape, answers, notices.
    pub frames_general: u64,
    /// Frames whose stream has a known shape but that had another. Rising: the venue changed what it sends.
    pub frames_fallback: u64,
}

impl VenueStatus {
    pub(super) fn of(v: &VenueMetrics, lanes: &[Arc<LaneMetrics>]) -> VenueStatus {
        let parsers: Vec<_> = lanes.iter().flat_map(|l| l.parsers()).filter(|p| p.venue == v.venue).collect();
        VenueStatus {
            venue: v.venue.clone(),
            connections: v.connections.get(),
            legs: [v.legs[0].get(), v.legs[1].get()],
            reconnects: v.reconnects.get(),
            weight_used: v.weight_used.get(),
            weight_limit: v.weight_limit.get(),
            polls_needed: v.polls_needed.get(),
            polls_allowed: v.polls_allowed.get(),
            polls_stretch_permille: v.polls_stretch.get(),
            snapshots_waiting: v.snapshots_waiting.get(),
            waits_for_list: v.waits_for_list(),
            list_unfit: v.unfit(),
            banned_until: v.banned_until.get(),
            streams_unheard: v.streams_unheard.get(),
            requests: v.requests.get(),
            request_failures: v.request_failures.get(),
            audits: v.audits(),
            frames_quick: parsers.iter().map(|p| p.quick.get()).sum(),
            frames_general: parsers.iter().map(|p| p.general.get()).sum(),
            frames_fallback: parsers.iter().map(|p| p.fallback.get()).sum(),
        }
    }
}

/// One book.
#[derive(Clone, Debug, Serialize)]
pub struct BookStatus {
    /// Venue slug.
    pub venue: String,
    /// Symbol.
    pub symbol: String,
    /// Whether it is proven.
    pub state: BookState,
    /// Resyncs since the start.
    pub resyncs: u64,
    /// Levels of both sides; 0 while it is not proven.
    pub levels: i64,
}

/// One stream.
#[derive(Clone, Debug, Serialize)]
pub struct StreamStatus {
    /// Lane that carries it.
    pub lane: LaneId,
    /// Venue slug.
    pub venue: String,
    /// Symbol, "" for all-market streams.
    pub symbol: String,
    /// Channel.
    pub channel: String,
    /// The venue's name of the whole stream.
    pub name: String,
    /// 0 or 1.
    pub leg: u8,
    /// Frames.
    pub frames: u64,
    /// Gaps that are over; those of both legs stand with one of them.
    pub gaps: u64,
    /// Events that this leg brought before the other one did.
    pub wins: u64,
    /// Time since the last frame that was no snapshot that we asked for, ns; −1 = none yet.
    pub last_recv_age_ns: i64,
}
