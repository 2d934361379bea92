//! The parts together: random operations against the slow twin, the venues' vectors, the recordings.

mod recordings;
mod support;
mod twin;
mod vectors;
