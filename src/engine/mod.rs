//! Wiring: lanes, threads, cores, rings, recovery, rebuild, shutdown. The only room that knows threads.

pub mod plan;
