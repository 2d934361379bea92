//! The proof from the files alone: coverage, chains, checksums, duplicates, books recomputed.
