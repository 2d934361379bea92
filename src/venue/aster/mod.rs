//! Aster: USD-M perpetual futures, spot, prediction markets. The dialect is the family's; `README.md` beside this file
//! says what is known of each channel and from where.

pub mod dialect;
mod futures;
mod prediction;
mod spot;

pub use futures::FUTURES;
pub use prediction::PREDICTION;
pub use spot::SPOT;
