//! Bytes in, stamped at the socket: pinned readers, TLS, WebSocket, limits; REST is the cold side.
//!
//! [`reader::Reader`] is the engine of a lane's thread: it owns sockets and hands whole messages, with their stamps, to
//! a [`reader::Handler`]. It knows nothing of folds, journals or venues. [`rest`], [`budget`], [`backoff`],
//! [`connect_limiter`] and [`resolve`] belong to the control thread, which may block and allocate.

pub mod backoff;
pub mod budget;
pub mod clock;
pub mod connect_limiter;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod guard;
pub mod limits;
pub mod rate;
pub mod reader;
pub mod resolve;
pub mod rest;
pub mod tls;
pub mod url;

#[cfg(test)]
mod testca;

pub use backoff::Backoff;
pub use budget::{BudgetConfig, Grant, Priority, WaitQueue, WeightBudget};
pub use connect_limiter::ConnectLimiter;
pub use limits::Limits;
pub use reader::{
    CloseInfo, ClosePhase, ConnectRequest, Counters, Handler, OpenError, Proxy, Reader, ReaderConfig, Stamps,
    WaitMode,
};
pub use rest::{RestClient, RestConfig, RestError, RestLimits, RestResponse};
pub use tls::TlsSetup;
