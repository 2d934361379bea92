//! Counters, histograms and the status types. Knows no HTTP.
