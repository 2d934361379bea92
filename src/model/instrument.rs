//! What a venue lists: one version of an instrument.

use serde::{Deserialize, Serialize};

use super::ids::InstrumentId;
use super::num::Dec;

/// Bytes that a symbol may have: as many as the name of a directory holds in plain letters. Questions of prediction markets
/// are that long.
pub const SYMBOL_BYTES_MAX: usize = 120;
/// Why a longer one is refused.
pub const SYMBOL_TOO_LONG: &str = "it is longer than 120 bytes";

/// What a parser needs to know of an instrument to turn text into mantissas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstrumentRef {
    /// Dense id in the lane's fold.
    pub id: InstrumentId,
    /// Decimals of prices.
    pub price_exp: u8,
    /// Decimals of sizes.
    pub size_exp: u8,
}

/// One version of an instrument: a row of the `instruments` table, and the payload of an instrument record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstrumentVersion {
    /// Venue slug.
    pub venue: String,
    /// Symbol exactly as the venue writes it; opaque UTF-8, at most [`SYMBOL_BYTES_MAX`] bytes.
    pub symbol: String,
    /// Base asset, "" if not given.
    pub base: String,
    /// Quote asset, "" if not given.
    pub quote: String,
    /// Settlement (margin) asset, "" if not given.
    pub settle: String,
    /// The venue's word (`PERPETUAL`, `CURRENT_QUARTER`, `SPOT`), "" if not given.
    pub contract_type: String,
    /// Whether sizes are contracts settled in the base asset.
    pub is_inverse: bool,
    /// The venue's word (`TRADING`, `BREAK`), "" if not given.
    pub status: String,
    /// Decimals of price mantissas.
    pub price_exp: u8,
    /// Decimals of size mantissas.
    pub size_exp: u8,
    /// Smallest price step.
    pub tick_size: Dec,
    /// Smallest size step.
    pub step_size: Dec,
    /// Smallest notional of an order.
    pub min_notional: Dec,
    /// Quote (inverse) or base (linear) per contract.
    pub contract_size: Dec,
    /// Expiry in ns, 0 = never or not given.
    pub ts_expiry: i64,
    /// From when this version holds, ns of `ts_recv`; 0 until it is recorded.
    pub ts_valid_from: i64,
    /// `venue` (its list), `observed` (seen in frames, or exponents widened), `recording` (imports).
    pub source: String,
    /// The venue's own JSON object, "" if none.
    pub raw_json: String,
}

impl InstrumentVersion {
    /// An instrument of which only the name is known.
    pub fn observed(venue: &str, symbol: &str) -> InstrumentVersion {
        InstrumentVersion {
            venue: venue.to_owned(),
            symbol: symbol.to_owned(),
            base: String::new(),
            quote: String::new(),
            settle: String::new(),
            contract_type: String::new(),
            is_inverse: false,
            status: String::new(),
            price_exp: 0,
            size_exp: 0,
            tick_size: Dec::NONE,
            step_size: Dec::NONE,
            min_notional: Dec::NONE,
            contract_size: Dec::NONE,
            ts_expiry: 0,
            ts_valid_from: 0,
            source: "observed".to_owned(),
            raw_json: String::new(),
        }
    }

    /// `"<venue>:<symbol>"`, the value of the `instrument` column.
    pub fn key(&self) -> String {
        format!("{}:{}", self.venue, self.symbol)
    }

    /// Whether two versions say the same, `raw_json`, validity and source aside.
    pub fn same_facts(&self, o: &InstrumentVersion) -> bool {
        self.venue == o.venue
            && self.symbol == o.symbol
            && self.base == o.base
            && self.quote == o.quote
            && self.settle == o.settle
            && self.contract_type == o.contract_type
            && self.is_inverse == o.is_inverse
            && self.status == o.status
            && self.price_exp == o.price_exp
            && self.size_exp == o.size_exp
            && self.tick_size == o.tick_size
            && self.step_size == o.step_size
            && self.min_notional == o.min_notional
            && self.contract_size == o.contract_size
            && self.ts_expiry == o.ts_expiry
    }
}
