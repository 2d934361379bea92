//! Minnow: a venue that nobody has, as small as one can be. Its folder and one line of the registry are all there is of it.

mod decode;
mod words;

use lobtape::model::instrument::{SYMBOL_BYTES_MAX, SYMBOL_TOO_LONG};
use lobtape::model::{
    Chain, ConnPlan, DecodeCtx, Dialect, Hosts, PlanError, Reject, RejectCause, RestKind, RestRequest,
    SequenceRule, StreamKind, StreamSpec, VenueSpec,
};
use lobtape::parse::Scratch;
use lobtape::parse::url::{encode_into, path_and_query, query_value};
use lobtape::venue::{ChannelInfo, InstrumentList, Venue};

/// Its spot markets.
pub static SPOT: Spot = Spot;

/// See [`SPOT`].
#[derive(Debug)]
pub struct Spot;

const ID: &str = "minnow-spot";

static SPEC: VenueSpec = VenueSpec {
    id: ID,
    title: "Minnow spot (invented)",
    rest: "https://rest.minnow.invalid",
    ws: "wss://ws.minnow.invalid",
    weight_group: ID,
    weight_per_minute: 600,
    acknowledges: true,
    channels_default: &["book", "trade"],
    // Ids of one symbol rise by one; a snapshot comes by REST; no connection's ids are another's.
    sequence: SequenceRule {
        chain: Chain::Next,
        drop_equal: true,
        ids_survive_reconnect: false,
        ..SequenceRule::FUTURES
    },
    ..VenueSpec::BASE
};

static DIALECT: Dialect = Dialect::with_words(ID, &words::Minnow);

impl Venue for Spot {
    fn spec(&self) -> &'static VenueSpec {
        &SPEC
    }

    fn dialect(&self) -> Option<&'static Dialect> {
        Some(&DIALECT)
    }

    fn samples(&self) -> &'static str {
        include_str!("fixtures/minnow-spot.txt")
    }

    fn channels(&self) -> Vec<ChannelInfo> {
        let info = |name: &str, kind| ChannelInfo {
            grammar: name.to_owned(),
            example: name.to_owned(),
            symbol: Some("BTC-EUR"),
            kind,
        };
        vec![info("book", StreamKind::DepthDiff), info("trade", StreamKind::Trade)]
    }

    fn stream(&self, channel: &str, symbol: Option<&str>) -> Result<StreamSpec, PlanError> {
        let kind = match channel {
            "book" => StreamKind::DepthDiff,
            "trade" => StreamKind::Trade,
            _ => {
                return Err(PlanError::UnknownChannel {
                    venue: ID,
                    channel: channel.to_owned(),
                    known: "book, trade".to_owned(),
                });
            }
        };
        let bad = |why| PlanError::BadSymbol { venue: ID, symbol: symbol.unwrap_or("").to_owned(), why };
        let symbol = symbol.ok_or_else(|| bad("this channel needs a symbol"))?;
        if symbol.len() > SYMBOL_BYTES_MAX {
            return Err(bad(SYMBOL_TOO_LONG));
        }
        if symbol.is_empty() || symbol.contains(':') || symbol.chars().any(char::is_control) {
            return Err(bad("it is empty, or holds a colon or a control character"));
        }
        let name = format!("{channel}:{symbol}");
        Ok(StreamSpec { name, channel: channel.to_owned(), symbol: Some(symbol.to_owned()), kind })
    }

    fn parse_stream(&self, name: &str) -> Option<StreamSpec> {
        let (channel, symbol) = name.split_once(':')?;
        self.stream(channel, Some(symbol)).ok()
    }

    fn plan(&self, streams: &[StreamSpec], hosts: &Hosts) -> Result<Vec<ConnPlan>, PlanError> {
        let base = hosts.ws.as_deref().unwrap_or(SPEC.ws).trim_end_matches('/');
        let one = |streams: &[StreamSpec]| {
            let names: Vec<&str> = streams.iter().map(|s| s.name.as_str()).collect();
            ConnPlan {
                url: format!("{base}/feed"),
                streams: streams.to_vec(),
                subscribe: vec![serde_json::json!({ "sub": names }).to_string()],
            }
        };
        Ok(streams.chunks(SPEC.streams_per_conn_max).map(one).collect())
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
        let (path, query) = path_and_query(url);
        match path {
            "/markets" => RestKind::Instruments,
            "/now" => RestKind::Time,
            "/book" => {
                query_value(query, "symbol").map_or(RestKind::Other, |symbol| RestKind::Depth { symbol })
            }
            _ => RestKind::Other,
        }
    }

    fn decode_snapshot(
        &self,
        scratch: &mut Scratch,
        symbol: &str,
        body: &[u8],
        ctx: &mut dyn DecodeCtx,
    ) -> Result<(), Reject> {
        decode::snapshot(scratch, symbol, body, ctx)
    }

    fn snapshot_request(&self, symbol: &str) -> RestRequest {
        let mut path = "/book?symbol=".to_owned();
        encode_into(&mut path, symbol, "");
        RestRequest { path, weight: 1 }
    }

    fn instruments_request(&self) -> RestRequest {
        RestRequest { path: "/markets".to_owned(), weight: 1 }
    }

    fn time_request(&self, _now_ms: i64) -> RestRequest {
        RestRequest { path: "/now".to_owned(), weight: 1 }
    }

    fn parse_instruments(&self, body: &[u8]) -> Result<InstrumentList, Reject> {
        decode::instruments(ID, body)
    }

    fn parse_time(&self, body: &[u8]) -> Result<i64, Reject> {
        let now = serde_json::from_slice::<serde_json::Value>(body).ok().and_then(|v| v["now"].as_i64());
        now.map(|ms| ms * 1_000_000).ok_or_else(|| Reject::new(RejectCause::Shape, "no time"))
    }
}
