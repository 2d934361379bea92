//! The tape again: dataset or recording to the same records, paced or flat out.
