//! A venue that lies on purpose, from a seed; or a recording served as a venue.
