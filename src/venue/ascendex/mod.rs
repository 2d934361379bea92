//! AscendEX: spot and perpetual futures. One dialect of its own for both: streams are subscribed to by message, the venue
//! pings by message, and a book's snapshot comes on the connection that carries its diffs. `README.md` beside this file
//! says what is known of each channel and from where.

mod decode;
pub mod dialect;
mod futures;
mod instruments;
mod polled;
mod rest;
mod spot;
mod streams;
mod tables;

use crate::model::{
    ConnPlan, DecodeCtx, Dialect, Heartbeat, Hosts, PlanError, Poll, Reject, RestKind, RestRefusal,
    RestRequest, SequenceRule, StreamKind, StreamSpec, TradesRequest, Tuning, VenueSpec,
};
use crate::parse::{Path, Scratch};
use crate::venue::{Ban, ChannelInfo, Evidence, InstrumentList, Venue};

pub use futures::FUTURES;
pub use spot::SPOT;
use streams::Channel;

/// One of the venue's products, as data.
#[derive(Debug)]
pub struct Ascendex {
    spec: &'static VenueSpec,
    dialect: &'static Dialect,
    /// What can be subscribed to.
    channels: &'static [Channel],
    /// What can be asked for by REST again and again.
    polls: &'static [Poll],
    /// Path of the socket behind the base.
    path: &'static str,
    /// Its fixtures.
    samples: &'static str,
    /// Path of the instrument list.
    instruments: &'static str,
    /// Contract type of instruments.
    contract_type: &'static str,
}

/// The venue pings each 15 s and drops whoever misses two; a ping of ours holds its own back for 30 s. Both are done: the
/// documentation and the recordings do not agree on which one is needed.
const HEARTBEAT: Heartbeat =
    Heartbeat { ping: Some((r#"{"op":"ping"}"#, 15)), pong: Some(r#"{"op":"pong"}"#) };

/// What both products share; the slug and the hosts are theirs.
const BASE: VenueSpec = VenueSpec {
    rest: "https://ascendex.com",
    ws: "wss://ascendex.com",
    // The venue's limit is not documented: its page says to spread 100 symbols over a connection.
    streams_per_conn_max: 100,
    client_messages_per_s: 5,
    connects_per_5min: 45,
    // Its CDN turns away whoever comes again too often.
    retry_ms: (1000, 60_000),
    good_after_s: 30,
    fallback_after_s: 5,
    // None is known; sessions that end are announced or found by their silence.
    conn_age_max_s: u32::MAX,
    rotate_after_s: u32::MAX - 1,
    ping_interval_s: 15,
    probe_after_s: 20,
    dead_after_s: 40,
    // Snapshots by message: 400 a minute and address are the first threshold. REST limits are not documented.
    weight_per_minute: 200,
    // By the page's advice, for want of a documented limit.
    rest_per_s: 2,
    weight_group: "ascendex",
    snapshot: crate::model::SnapshotSource::InBand,
    trades_chain: false,
    snapshot_levels: 500,
    sequence: SequenceRule::PER_FRAME,
    heartbeat: HEARTBEAT,
    acknowledges: true,
    // Both products are behind one host, which counts by address: 45 connections, and of these messages 150 a minute are the first
    // threshold.
    address_group: "ascendex",
    subscribes_per_minute: 100,
    ..VenueSpec::BASE
};

impl Venue for Ascendex {
    fn spec(&self) -> &'static VenueSpec {
        self.spec
    }

    fn dialect(&self) -> Option<&'static Dialect> {
        Some(self.dialect)
    }

    fn samples(&self) -> &'static str {
        self.samples
    }

    fn evidence(&self) -> Evidence {
        Evidence::Recordings
    }

    fn channels(&self) -> Vec<ChannelInfo> {
        self.channels.iter().map(|c| c.info(self.spec.symbol_example)).collect()
    }

    fn stream(&self, channel: &str, symbol: Option<&str>) -> Result<StreamSpec, PlanError> {
        streams::stream(self, channel, symbol)
    }

    fn is_market(&self, channel: &str) -> bool {
        streams::is_market(self, channel)
    }

    fn parse_stream(&self, name: &str) -> Option<StreamSpec> {
        streams::parse_stream(self, name)
    }

    fn plan(&self, streams: &[StreamSpec], hosts: &Hosts) -> Result<Vec<ConnPlan>, PlanError> {
        streams::plan(self, streams, hosts)
    }

    fn fallback(&self, channel: &str) -> Option<&'static str> {
        (channel == streams::REALTIME).then_some(streams::DEPTH)
    }

    fn confirmed(&self, frame: &[u8]) -> Vec<String> {
        decode::confirmed(frame)
    }

    fn is_of_symbol(&self, code: i64) -> bool {
        // SYMBOL_ERROR.
        code == 100_008
    }

    fn decode(
        &self,
        scratch: &mut Scratch,
        frame: &[u8],
        _only: Option<&StreamSpec>,
        ctx: &mut dyn DecodeCtx,
    ) -> Result<(), Reject> {
        scratch.count(Path::General);
        decode::decode(self, scratch, frame, ctx)
    }

    fn rest_kind(&self, url: &str) -> RestKind {
        rest::rest_kind(url)
    }

    fn polls(&self) -> &'static [Poll] {
        self.polls
    }

    fn decode_polled(
        &self,
        scratch: &mut Scratch,
        url: &str,
        body: &[u8],
        ctx: &mut dyn DecodeCtx,
    ) -> Result<(), Reject> {
        polled::decode(scratch, url, body, ctx)
    }

    fn ban_request(&self) -> Option<RestRequest> {
        Some(rest::request(polled::LIMITS.path))
    }

    fn parse_ban(&self, body: &[u8]) -> Result<Option<Ban>, Reject> {
        rest::parse_ban(body)
    }

    fn refusal(&self, status: u16, body: &[u8]) -> Option<RestRefusal> {
        rest::refusal(status, body)
    }

    fn trades_request(&self, kind: StreamKind, symbol: &str, _from: i64) -> Option<TradesRequest> {
        (kind == StreamKind::TradeSparse).then(|| rest::trades_request(symbol))
    }

    fn decode_trades(
        &self,
        scratch: &mut Scratch,
        symbol: &str,
        body: &[u8],
        ctx: &mut dyn DecodeCtx,
    ) -> Result<(), Reject> {
        rest::trades(scratch, symbol, body, ctx)
    }

    fn decode_snapshot(
        &self,
        scratch: &mut Scratch,
        symbol: &str,
        body: &[u8],
        ctx: &mut dyn DecodeCtx,
    ) -> Result<(), Reject> {
        rest::snapshot(scratch, symbol, body, ctx)
    }

    fn snapshot_request(&self, symbol: &str) -> RestRequest {
        rest::snapshot_request(symbol)
    }

    fn snapshot_message(&self, stream: &StreamSpec) -> Option<String> {
        streams::snapshot_message(stream)
    }

    fn resubscribe_messages(&self, stream: &StreamSpec, _: &Tuning) -> Vec<String> {
        streams::resubscribe_messages(stream)
    }

    fn instruments_request(&self) -> RestRequest {
        rest::request(self.instruments)
    }

    fn volumes_request(&self) -> Option<RestRequest> {
        self.poll("!ticker").map(|p| rest::request(p.path))
    }

    fn parse_volumes(&self, body: &[u8]) -> Result<Vec<(String, u64)>, Reject> {
        instruments::parse_volumes(body)
    }

    fn time_request(&self, now_ms: i64) -> RestRequest {
        rest::time_request(now_ms)
    }

    fn parse_instruments(&self, body: &[u8]) -> Result<InstrumentList, Reject> {
        instruments::parse(self, body)
    }

    fn parse_time(&self, body: &[u8]) -> Result<i64, Reject> {
        rest::parse_time(body)
    }
}
