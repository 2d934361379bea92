//! The few calls to the kernel: affinity, priorities, memory, socket stamps.
