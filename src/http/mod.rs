//! Liveness, readiness, metrics, status. Reads, never steers.
