//! Other tools' recordings, turned into records.
