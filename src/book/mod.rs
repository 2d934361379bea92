//! Books and their proof: sequencer, ladder, diff buffer, and the slow twin that tests hold them against.
//!
//! The parts know nothing of each other: the fold asks the [`Sequencer`] whether a diff may be applied, puts it
//! into the [`Book`] or into the [`DiffBuffer`], and writes the rows. No clock, no I/O, nothing of a venue but its
//! [`crate::model::SequenceRule`].

pub mod buffer;
mod canon;
mod grid;
mod half;
pub mod ladder;
pub mod reference;
pub mod sequencer;
mod strays;
mod window;

pub use buffer::{BufferState, DiffBuffer, DiffOwned, DiffRef};
pub use half::Levels;
pub use ladder::{Book, Change, Changes, RescaleError};
pub use sequencer::{DiffIds, SeqState, Sequencer, Verdict, same_id_space};

#[cfg(test)]
pub(crate) mod tests;
