//! The parts together: random operations against the slow twin, the venues' vectors, the recordings.

mod buffers;
mod hostile;
mod proof;
mod recordings;
mod support;
mod twin;
pub(crate) mod vectors;
