//! `ascendex-futures`: perpetual contracts, Futures Pro v2. Sizes are in the base asset.

use super::streams::{ASSETLESS, BARS, Channel, NONE, Subject};
use super::{Ascendex, BASE};
use crate::model::StreamKind::{BookTicker, DepthDiff, Kline, Mark, TradeSparse};
use crate::model::VenueSpec;

/// AscendEX perpetual futures.
pub static FUTURES: Ascendex = Ascendex {
    spec: &VenueSpec {
        id: "ascendex-futures",
        title: "AscendEX perpetual futures",
        symbol_example: "BTC-PERP",
        channels_default: &["depth", "trades", "bbo", "futures-pricing-data"],
        ..BASE
    },
    dialect: &super::dialect::FUTURES,
    channels: &[
        Channel { base: "depth", args: NONE, subject: Subject::Symbol, kind: DepthDiff },
        Channel { base: "depth-realtime", args: NONE, subject: Subject::Symbol, kind: DepthDiff },
        Channel { base: "trades", args: NONE, subject: Subject::Symbol, kind: TradeSparse },
        Channel { base: "bbo", args: NONE, subject: Subject::Symbol, kind: BookTicker },
        Channel { base: "bar:", args: BARS, subject: Subject::Symbol, kind: Kline },
        Channel { base: ASSETLESS, args: NONE, subject: Subject::Market, kind: Mark },
    ],
    polls: super::polled::FUTURES,
    path: "/api/pro/v2/stream",
    samples: include_str!("fixtures/ascendex-futures.txt"),
    instruments: "/api/pro/v2/futures/contract",
    contract_type: "PERPETUAL",
};
