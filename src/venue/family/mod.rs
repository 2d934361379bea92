//! The dialect that Binance spoke first: stream names, combined envelope, one-letter keys, `U`/`u`/`pu` ids, REST
//! paths. Binance's products and the venues that cloned them are rows of data ([`Family`]) over this code.
//!
//! What differs from venue to venue is a field here, never a comparison with a venue's name.

mod book;
mod decode;
pub mod dialect;
mod instruments;
mod missed;
mod plan;
pub mod polled;
mod quick;
mod rest;
mod stats;
pub mod streams;
mod trades;

use crate::model::{
    ConnPlan, DecodeCtx, Dialect, Hosts, InstrumentVersion, PlanError, Poll, Reject, RestKind, RestRequest,
    StreamKind, StreamSpec, TradeType, TradesRequest, VenueSpec,
};
use crate::parse::Scratch;
use crate::venue::{ChannelInfo, Credentials, Evidence, InstrumentList, Venue, Voice};
pub use streams::{Channel, Subject};

/// One venue of the family, as data.
#[derive(Debug)]
pub struct Family {
    /// Names and numbers.
    pub spec: &'static VenueSpec,
    /// How the venue speaks, for the simulator.
    pub dialect: &'static Dialect,
    /// The stream grammar: what can be subscribed to.
    pub channels: &'static [Channel],
    /// What can be asked for by REST again and again.
    pub polls: &'static [Poll],
    /// Path prefixes of WebSocket URLs; [`Channel::route`] is an index into them. One empty prefix where the venue
    /// does not split its streams.
    pub routes: &'static [&'static str],
    /// Channels that may turn out not to be served, and what to use then: a book's changes at once, anything else when
    /// the second choice, asked beside it, shows that there was something to say.
    pub fallbacks: &'static [(&'static str, &'static str)],
    /// REST paths before the version (`/fapi/`).
    pub rest_root: &'static str,
    /// REST version that we ask (`v3`); other versions are recognised in recorded URLs.
    pub rest_version: &'static str,
    /// The instrument list's path after the version.
    pub instruments_path: &'static str,
    /// How often the list is asked for, seconds: as often as what it names comes and goes.
    pub instruments_every_s: u32,
    /// Events that say that the list is another one now, each with a key that it must have ("" = none).
    pub listing_events: &'static [(&'static str, &'static str)],
    /// What the list says of its instruments outside of their own elements, if it does.
    pub annotate: Option<fn(&[u8], &mut InstrumentList)>,
    /// Levels per side of a snapshot that we ask for.
    pub snapshot_limit: u32,
    /// Weight of a snapshot of that many levels.
    pub snapshot_weight: u32,
    /// A second path of the clock, behind the version, where the documents name two.
    pub other_clock: Option<&'static str>,
    /// Weight of the instrument list.
    pub instruments_weight: u32,
    /// Weight of the day's statistics of all markets.
    pub volumes_weight: u32,
    /// Weight of a page of aggregates by REST.
    pub agg_trades_weight: u32,
    /// Weight of a page of single trades by REST.
    pub old_trades_weight: u32,
    /// Whether single trades by REST want the user's key.
    pub old_trades_need_key: bool,
    /// Whether the instrument list states the request budget truly. COIN-M's prints a budget of its own although it
    /// shares that of USD-M.
    pub list_states_weight: bool,
    /// What a `trade` frame without `X` is.
    pub trade_default: TradeType,
    /// The venue's own value of `st`: rows of all-market streams with another one belong to a sister product.
    pub product_code: Option<i64>,
    /// Sizes are contracts, settled in the base asset.
    pub is_inverse: bool,
    /// Contract type of instruments whose list does not name one.
    pub contract_type: &'static str,
    /// Its fixtures.
    pub samples: &'static str,
    /// What the support of this venue rests on.
    pub evidence: Evidence,
    /// Whether an instrument is a contract on the asset (then one unit of size is one unit of base, unless the list
    /// says otherwise).
    pub is_derivative: bool,
}

impl Venue for Family {
    fn spec(&self) -> &'static VenueSpec {
        self.spec
    }

    fn dialect(&self) -> Option<&'static Dialect> {
        Some(self.dialect)
    }

    fn channels(&self) -> Vec<ChannelInfo> {
        self.channels.iter().map(|c| c.info(self.spec.symbol_example)).collect()
    }

    fn samples(&self) -> &'static str {
        self.samples
    }

    fn evidence(&self) -> Evidence {
        self.evidence
    }

    fn stream(&self, channel: &str, symbol: Option<&str>) -> Result<StreamSpec, PlanError> {
        streams::stream(self, channel, symbol)
    }

    fn is_market(&self, channel: &str) -> bool {
        streams::is_market(self, channel)
    }

    fn pair_of<'s>(&self, symbol: &'s str) -> Option<&'s str> {
        streams::pair_of(symbol).filter(|_| streams::has_pairs(self))
    }

    fn is_pair(&self, symbol: &str) -> bool {
        streams::has_pairs(self) && streams::pair_of(symbol).is_none()
    }

    fn pair_of_place<'s>(&self, name: &'s str) -> Option<&'s str> {
        streams::pair_of_place(self, name)
    }

    fn place_of(&self, i: &InstrumentVersion) -> Option<String> {
        streams::place_of(self, i)
    }

    fn parse_stream(&self, name: &str) -> Option<StreamSpec> {
        streams::parse_stream(self, name)
    }

    fn plan(&self, streams: &[StreamSpec], hosts: &Hosts) -> Result<Vec<ConnPlan>, PlanError> {
        plan::plan(self, streams, hosts)
    }

    fn routes(&self) -> &'static [&'static str] {
        self.routes
    }

    fn fallback(&self, channel: &str) -> Option<&'static str> {
        self.fallbacks.iter().find(|(from, _)| *from == channel).map(|(_, to)| *to)
    }

    fn pace_s(&self, channel: &str) -> Option<u32> {
        // Mark prices come every three seconds, or every second where that is asked for.
        // (Candles of marks, whose names begin alike, come when something changed.)
        let is_mark = channel.split('@').next() == Some("markPrice") || channel.starts_with("!markPrice@");
        is_mark.then(|| if channel.ends_with("@1s") { 1 } else { 3 })
    }

    fn voice(&self, channel: &str) -> Voice {
        let row = || streams::channel_of(self, channel).map_or(Voice::Eventful, |c| c.voice);
        self.pace_s(channel).map_or_else(row, Voice::Paced)
    }

    fn decode(
        &self,
        scratch: &mut Scratch,
        frame: &[u8],
        only: Option<&StreamSpec>,
        ctx: &mut dyn DecodeCtx,
    ) -> Result<(), Reject> {
        decode::decode(self, scratch, frame, only, ctx)
    }

    fn rest_kind(&self, url: &str) -> RestKind {
        rest::rest_kind(self, url)
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
        polled::decode(self, scratch, url, body, ctx)
    }

    fn trades_request(&self, kind: StreamKind, symbol: &str, from: i64) -> Option<TradesRequest> {
        missed::trades_request(self, kind, symbol, from)
    }

    fn latest_trades_request(&self, kind: StreamKind, symbol: &str) -> Option<TradesRequest> {
        self.trades_need_key(kind).then(|| missed::latest_request(self, symbol))
    }

    fn trades_need_key(&self, kind: StreamKind) -> bool {
        kind == StreamKind::Trade && self.old_trades_need_key
    }

    fn decode_trades(
        &self,
        scratch: &mut Scratch,
        symbol: &str,
        body: &[u8],
        ctx: &mut dyn DecodeCtx,
    ) -> Result<(), Reject> {
        missed::decode(self, scratch, symbol, body, ctx)
    }

    fn sign(&self, path: &str, key: &Credentials) -> Vec<(&'static str, String)> {
        // Market data wants no signature, only to know who asks.
        let wants = path.contains("/historicalTrades") && self.old_trades_need_key;
        if wants { vec![("X-MBX-APIKEY", key.key.clone())] } else { Vec::new() }
    }

    fn decode_snapshot(
        &self,
        scratch: &mut Scratch,
        symbol: &str,
        body: &[u8],
        ctx: &mut dyn DecodeCtx,
    ) -> Result<(), Reject> {
        book::snapshot(scratch, symbol, body, ctx)
    }

    fn snapshot_request(&self, symbol: &str) -> RestRequest {
        rest::snapshot_request(self, symbol)
    }

    fn instruments_every_s(&self) -> u32 {
        self.instruments_every_s
    }

    fn instruments_request(&self) -> RestRequest {
        rest::request(self, self.instruments_path, self.instruments_weight)
    }

    fn volumes_request(&self) -> Option<RestRequest> {
        Some(rest::request(self, "ticker/24hr", self.volumes_weight))
    }

    fn parse_volumes(&self, body: &[u8]) -> Result<Vec<(String, u64)>, Reject> {
        rest::parse_volumes(body)
    }

    fn time_request(&self, _now_ms: i64) -> RestRequest {
        rest::request(self, "time", 1)
    }

    fn time_request_else(&self) -> Option<RestRequest> {
        self.other_clock.map(|endpoint| rest::request(self, endpoint, 1))
    }

    fn parse_instruments(&self, body: &[u8]) -> Result<InstrumentList, Reject> {
        let mut list = instruments::parse(self, body)?;
        if let Some(annotate) = self.annotate {
            annotate(body, &mut list);
        }
        Ok(list)
    }

    fn parse_time(&self, body: &[u8]) -> Result<i64, Reject> {
        rest::parse_time(body)
    }
}
