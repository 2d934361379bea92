//! `aster-prediction`: yes/no tokens on events, `papi.asterdex.com`, API v3. The spot dialect on another host, and events
//! of which the instruments are the rounds: they come every few minutes and are gone a day after.

use serde::Deserialize;
use serde_json::Value;

use crate::model::StreamKind::{
    AggTrade, BookTicker, DepthDiff, DepthPartial, Kline, MiniTicker, RawOnly, Ticker, Trade,
};
use crate::model::time::ms_to_ns;
use crate::model::{Poll, SequenceRule, SnapshotSource, TradeType, VenueSpec};
use crate::venue::Evidence;
use crate::venue::InstrumentList;
use crate::venue::family::polled::common_polls;
use crate::venue::family::streams::NONE;
use crate::venue::family::{Channel, Family, Subject};

const SPEEDS: &[&str] = &["", "@100ms"];
/// The enumeration lists `1s` and `1m` only, the chapter on streams all but `1s`.
const INTERVALS: &[&str] =
    &["1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"];

/// What can be asked for by REST.
static POLLS: &[Poll] = common_polls!(
    "/api/v3/",
    INTERVALS,
    1,
    40,
    1,
    2,
    1,
    Poll::symbol("ticker/price", "/api/v3/ticker/price?symbol=", Ticker),
    Poll::market("!ticker/price", "/api/v3/ticker/price", Ticker).weight(2),
);

/// Aster's prediction markets.
pub static PREDICTION: Family = Family {
    spec: &VenueSpec {
        id: "aster-prediction",
        title: "Aster prediction markets",
        symbol_example: "BTC_UP_DOWN_5M_1778483280_YUSDT",
        rest: "https://papi.asterdex.com",
        ws: "wss://pstream.asterdex.com",
        streams_per_conn_max: 200,
        streams_per_conn_most: 1024,
        url_bytes_max: 3600,
        client_messages_per_s: 5,
        connects_per_5min: 300,
        conn_age_max_s: 24 * 3600,
        rotate_after_s: 23 * 3600,
        ping_interval_s: 180,
        probe_after_s: 30,
        dead_after_s: 75,
        weight_per_minute: 1200,
        weight_group: "aster-prediction",
        weight_header: "x-mbx-used-weight-1m",
        snapshot: SnapshotSource::Rest,
        sequence: SequenceRule::POINTED_OR_DENSE,
        channels_default: &["depth@100ms", "aggTrade", "trade", "bookTicker", "miniTicker"],
        // The venue lists a round for a day after it was decided.
        ended_statuses: &["SETTLED"],
        ..VenueSpec::BASE
    },
    dialect: &super::dialect::PREDICTION,
    channels: &[
        Channel::new("depth", SPEEDS, DepthDiff),
        Channel::new("depth", SPEEDS, DepthPartial).args(&["5", "10", "20"]),
        Channel::new("aggTrade", NONE, AggTrade),
        Channel::new("trade", NONE, Trade),
        Channel::new("bookTicker", NONE, BookTicker),
        Channel::new("!bookTicker", NONE, BookTicker).of(Subject::Market),
        Channel::new("kline_", NONE, Kline).args(INTERVALS),
        Channel::new("miniTicker", NONE, MiniTicker),
        Channel::new("!miniTicker@arr", NONE, MiniTicker).of(Subject::Market),
        Channel::new("ticker", NONE, Ticker),
        Channel::new("!ticker@arr", NONE, Ticker).of(Subject::Market),
        Channel::new("event", NONE, RawOnly).of(Subject::Series).rare(),
        Channel::new("tradepro", NONE, RawOnly).rare(),
    ],
    polls: POLLS,
    routes: &[""],
    fallbacks: &[],
    rest_root: "/api/",
    rest_version: "v3",
    instruments_path: "prediction/exchangeInfo",
    other_clock: Some("prediction/time"),
    // Rounds last five minutes.
    instruments_every_s: 60,
    listing_events: &[("market_start", ""), ("market_twap", "w")],
    annotate: Some(annotate),
    snapshot_limit: 1000,
    snapshot_weight: 20,
    instruments_weight: 1,
    volumes_weight: 40,
    agg_trades_weight: 20,
    old_trades_weight: 20,
    old_trades_need_key: false,
    list_states_weight: true,
    trade_default: TradeType::Market,
    product_code: None,
    is_inverse: false,
    contract_type: "PREDICTION",
    samples: include_str!("fixtures/aster-prediction.txt"),
    evidence: Evidence::Documents,
    is_derivative: false,
};

/// The part of the list that speaks of events. It is missing in one of the venue's own samples.
#[derive(Deserialize)]
struct Events {
    #[serde(default, rename = "predictionEvents")]
    events: Vec<Value>,
}

/// Rounds of an event, wherever they stand: `rounds`, `liveRound`, `markets`.
fn rounds(event: &Value) -> impl Iterator<Item = &Value> {
    let list = |key: &str| event.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    // The live round last: where it stands in the list too, it is the newer word.
    list("rounds").iter().chain(list("markets")).chain(event.get("liveRound")).filter(|m| m.is_object())
}

/// What an event says of a token goes into its instrument: the kind of question as contract type, the state of its
/// round as status, the end of trading as expiry, and all of it as the venue wrote it.
fn annotate(body: &[u8], list: &mut InstrumentList) {
    let Ok(Events { events }) = serde_json::from_slice::<Events>(body) else { return };
    for event in &events {
        let mut head = event.clone();
        if let Some(o) = head.as_object_mut() {
            // Rounds are thousands of bytes that are not this token's.
            for key in ["rounds", "liveRound", "markets"] {
                o.remove(key);
            }
        }
        for market in rounds(event) {
            let symbols = market.get("symbols").and_then(Value::as_array);
            for symbol in symbols.into_iter().flatten().filter_map(Value::as_str) {
                let Some(i) = list.instruments.iter_mut().find(|i| i.symbol == symbol) else { continue };
                let text = |v: &Value, key: &str| v.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
                let (kind, status) = (text(event, "predictionType"), text(market, "roundStatus"));
                if !kind.is_empty() {
                    i.contract_type = kind;
                }
                if !status.is_empty() {
                    i.status = status;
                }
                let end = market.get("tradingEndTime").and_then(Value::as_i64).filter(|ms| *ms > 0);
                i.ts_expiry = end.map_or(i.ts_expiry, ms_to_ns);
                let own: Value = match serde_json::from_str::<Value>(&i.raw_json) {
                    // Said of it before, by another round's entry: the newer word holds.
                    Ok(Value::Object(mut o)) => o.remove("symbolInfo").unwrap_or(Value::Object(o)),
                    _ => Value::Null,
                };
                let all = serde_json::json!({"symbolInfo": own, "event": head, "market": market});
                i.raw_json = all.to_string();
            }
        }
    }
}
