//! Binance: spot, USD-M and COIN-M futures. The dialect is the family's; `README.md` beside this file says what is
//! known of each channel and from where.

mod coinm;
pub mod dialect;
mod spot;
mod usdm;

pub use coinm::COINM;
pub use spot::SPOT;
pub use usdm::USDM;
