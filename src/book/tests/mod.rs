//! The parts together: random operations against the slow twin, the venues' vectors, the recordings.

mod twin;
