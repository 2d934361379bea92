//! Tests that walk every venue.
