//! Aster: USD-M perpetual futures. The dialect is the family's; `README.md` beside this file says what is known of
//! each channel and from where.

pub mod dialect;
mod futures;

pub use futures::FUTURES;
