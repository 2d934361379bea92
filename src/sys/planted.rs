//! Known bugs for the fault matrix to catch: `scripts/faults D5`. Only builds with the feature `planted` have this room and
//! them; which one is awake says the environment variable `LOBTAPE_PLANTED`.

use std::sync::OnceLock;

/// Whether this one is awake. Asked once, since a process has one of them for life.
pub fn is_awake(bug: &str) -> bool {
    static AWAKE: OnceLock<Option<String>> = OnceLock::new();
    AWAKE.get_or_init(|| std::env::var("LOBTAPE_PLANTED").ok()).as_deref() == Some(bug)
}
