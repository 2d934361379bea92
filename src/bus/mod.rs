//! Bounded lock-free rings: the raw ring in shared memory, the event ring. What is dropped is counted.

pub mod event;
pub mod raw;
