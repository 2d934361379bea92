//! Text to a checked plan: TOML, environment, flags. Checks shape; `engine::plan` checks against the venues.
