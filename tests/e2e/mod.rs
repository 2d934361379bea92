//! End to end: the simulated venue's oracle against what the recorder made of it, with faults, boundaries and kills.
//!
//! Each test has a short form here; `scripts/prove` runs the long ones. The forms differ in numbers only, which come from
//! the environment (`LOBTAPE_PROVE_…`).

mod addresses;
mod audits;
mod backfill;
mod capture;
mod demo;
mod disk;
mod flips;
mod kill;
mod legs;
mod line;
mod listing;
mod memory;
mod midnight;
pub mod oracle_check;
mod polled;
mod power;
mod pressure;
mod refold;
mod refusals;
mod replace;
pub mod rig;
mod rows_check;
mod soak;
mod status;
mod storage;
mod storm;
mod syscalls;
pub mod tape;
mod unheard;
mod unlisted;
mod venues;
