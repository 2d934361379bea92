//! Pumpkin: perpetual futures, API v2. A dialect of its own: topics are subscribed to by message and answered in order,
//! pings are texts, frames are JSON or protobuf, whole books and changes of them come on one topic, and of REST much
//! has no stream. `README.md` beside this file says what is known of each channel and from where.

mod binary;
mod decode;
pub mod dialect;
mod instruments;
mod message;
mod numbers;
mod rest;
mod sign;
mod topics;

use crate::model::{
    ConnPlan, DecodeCtx, Dialect, Heartbeat, Hosts, IdPolicy, PlanError, Poll, Reject, RestKind, RestRefusal,
    RestRequest, SequenceRule, SnapshotSource, StreamKind, StreamSpec, TradesRequest, Tuning, VenueSpec,
};
use crate::parse::Scratch;
use crate::venue::{ChannelInfo, Credentials, InstrumentList, Venue};

/// Pumpkin's perpetual futures.
pub static PERP: Perp = Perp;

/// See [`PERP`].
#[derive(Debug)]
pub struct Perp;

static SPEC: VenueSpec = VenueSpec {
    id: "pumpkin-perp",
    title: "Pumpkin perpetual futures",
    symbol_example: "btc_usdt",
    // The documents do not name a host: the configuration must.
    rest: "https://rest.pumpkin.invalid",
    ws: "wss://ws.pumpkin.invalid",
    hosts_known: false,
    limits_known: false,
    // Some of its family drop whoever says nothing for a minute.
    dead_after_most_s: 60,
    names_topics: true,
    trades_chain: false,
    rest_trades_have_ids: false,
    // No limit is documented for any of these.
    streams_per_conn_max: 50,
    client_messages_per_s: 5,
    connects_per_5min: 60,
    retry_ms: (1000, 30_000),
    ping_interval_s: 15,
    // A text `ping` goes out every 3 s anyway, and its answer is a frame.
    probe_after_s: 0,
    dead_after_s: 15,
    weight_per_minute: 60,
    weight_group: "pumpkin-perp",
    weight_header: "",
    snapshot: SnapshotSource::Rest,
    sequence: SequenceRule::LEARNED,
    channels_default: &["depth,10", "trade", "kline,1m"],
    heartbeat: Heartbeat { ping: Some(("ping", 3)), pong: Some("pong") },
    acknowledges: true,
    takes_dead_symbols: true,
    topics_per_message: topics::BATCH,
    ..VenueSpec::BASE
};

impl Venue for Perp {
    fn spec(&self) -> &'static VenueSpec {
        &SPEC
    }

    fn dialect(&self) -> Option<&'static Dialect> {
        Some(&dialect::PERP)
    }

    fn samples(&self) -> &'static str {
        include_str!("fixtures/pumpkin-perp.txt")
    }

    fn channels(&self) -> Vec<ChannelInfo> {
        topics::channels()
    }

    fn stream(&self, channel: &str, symbol: Option<&str>) -> Result<StreamSpec, PlanError> {
        topics::stream(channel, symbol)
    }

    fn parse_stream(&self, name: &str) -> Option<StreamSpec> {
        topics::parse_stream(name)
    }

    fn plan(&self, streams: &[StreamSpec], hosts: &Hosts) -> Result<Vec<ConnPlan>, PlanError> {
        topics::plan(streams, hosts)
    }

    fn subscribe_message(&self, topics: &[&str], tuning: &Tuning) -> Option<String> {
        Some(topics::message("sub", topics, tuning))
    }

    fn is_passing(&self, code: i64) -> bool {
        // Rate limit, server error, not available.
        matches!(code, 40006 | 50001 | 50002)
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

    fn is_full(&self, code: i64) -> bool {
        code == 40003
    }

    fn resubscribe_messages(&self, stream: &StreamSpec, tuning: &Tuning) -> Vec<String> {
        let name = [stream.name.as_str()];
        vec![topics::message("unsub", &name, tuning), topics::message("sub", &name, tuning)]
    }

    fn id_policies(&self) -> &'static [(&'static str, IdPolicy)] {
        &[("strict", IdPolicy::Strict), ("sparse", IdPolicy::Sparse), ("learn", IdPolicy::Learn)]
    }

    fn ping_replies(&self) -> &'static [(&'static str, Option<&'static str>)] {
        &[("pong", Some("pong")), ("none", None)]
    }

    fn rest_auths(&self) -> &'static [(&'static str, bool)] {
        &[("none", false), ("query_hmac", true)]
    }

    fn decode(
        &self,
        scratch: &mut Scratch,
        frame: &[u8],
        _only: Option<&StreamSpec>,
        ctx: &mut dyn DecodeCtx,
    ) -> Result<(), Reject> {
        decode::frame(scratch, frame, ctx)
    }

    fn rest_kind(&self, url: &str) -> RestKind {
        rest::rest_kind(url)
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

    fn instruments_request(&self) -> RestRequest {
        RestRequest { path: "/v2/public/symbol/list".to_owned(), weight: 1 }
    }

    fn volumes_request(&self) -> Option<RestRequest> {
        self.poll("tickers").map(|p| RestRequest { path: p.path.to_owned(), weight: p.weight })
    }

    fn parse_volumes(&self, body: &[u8]) -> Result<Vec<(String, u64)>, Reject> {
        instruments::parse_volumes(body)
    }

    fn time_request(&self, _now_ms: i64) -> RestRequest {
        RestRequest { path: "/v2/public/time".to_owned(), weight: 1 }
    }

    /// A wrong key costs REST, and streams need none.
    fn opens_unlisted(&self) -> bool {
        true
    }

    fn polls(&self) -> &'static [Poll] {
        &rest::POLLS
    }

    fn decode_polled(
        &self,
        scratch: &mut Scratch,
        url: &str,
        body: &[u8],
        ctx: &mut dyn DecodeCtx,
    ) -> Result<(), Reject> {
        rest::polled(scratch, url, body, ctx)
    }

    fn polled_instruments(&self, path: &str, body: &[u8]) -> Option<Result<InstrumentList, Reject>> {
        rest::is_detail(path).then(|| instruments::parse_one(body))
    }

    fn refusal(&self, status: u16, body: &[u8]) -> Option<RestRefusal> {
        rest::refusal(status, body)
    }

    fn sign(&self, path: &str, key: &Credentials) -> Vec<(&'static str, String)> {
        sign::headers(path, key)
    }

    fn parse_instruments(&self, body: &[u8]) -> Result<InstrumentList, Reject> {
        instruments::parse(body)
    }

    fn parse_time(&self, body: &[u8]) -> Result<i64, Reject> {
        rest::parse_time(body)
    }
}
