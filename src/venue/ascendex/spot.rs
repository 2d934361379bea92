//! `ascendex-spot`: the spot market, Pro API v1.

use super::streams::{BARS, Channel, NONE, REFERENCE, Subject};
use super::{Ascendex, BASE};
use crate::model::StreamKind::{BookTicker, DepthDiff, Kline, RawOnly, TradeSparse};
use crate::model::VenueSpec;

/// AscendEX spot.
pub static SPOT: Ascendex = Ascendex {
    spec: &VenueSpec {
        id: "ascendex-spot",
        title: "AscendEX spot",
        symbol_example: "BTC/USDT",
        channels_default: &["depth", "trades", "bbo"],
        ..BASE
    },
    dialect: &super::dialect::SPOT,
    channels: &[
        Channel { base: "depth", args: NONE, subject: Subject::Symbol, kind: DepthDiff },
        Channel { base: "depth-realtime", args: NONE, subject: Subject::Symbol, kind: DepthDiff },
        Channel { base: "trades", args: NONE, subject: Subject::Symbol, kind: TradeSparse },
        Channel { base: "bbo", args: NONE, subject: Subject::Symbol, kind: BookTicker },
        Channel { base: "bar:", args: BARS, subject: Subject::Symbol, kind: Kline },
        Channel { base: REFERENCE, args: NONE, subject: Subject::Asset, kind: RawOnly },
    ],
    // Any group number works without an account; this one is in a published recording.
    polls: super::polled::SPOT,
    path: "/1/api/pro/v1/stream",
    samples: include_str!("fixtures/ascendex-spot.txt"),
    instruments: "/api/pro/v1/cash/products",
    contract_type: "SPOT",
};
