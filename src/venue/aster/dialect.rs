//! How Aster speaks: `protocols/aster-futures.md` as data for the simulator.

use crate::model::dialect::{Dialect, TooManyStreams};
use crate::venue::family::dialect::FUTURES as BASE;

/// USD-M perpetual futures.
pub static FUTURES: Dialect = Dialect {
    venue: "aster-futures",
    too_many_streams: TooManyStreams::Close(3003, "subscribed channels exceeds limit"),
    names_per_subscribe_max: 120,
    rest_prefixes: &["/fapi/v3/", "/fapi/v1/"],
    ..BASE
};
