//! Cores that reader threads are to run on, and those of them that cannot be had.

use std::io;

use super::plan::LanePlan;
use crate::model::LaneId;
use crate::sys::thread;

/// Lanes that will not be pinned although the configuration says where, and why: as the capture will say it.
///
/// Each core is tried by a thread of its own, because a core that was taken out of the scheduler can be had all the same.
pub fn refused(lanes: &[LanePlan]) -> Vec<(LaneId, String)> {
    let refused = |l: &LanePlan| {
        let cpu = l.core?;
        let tried = std::thread::spawn(move || thread::pin_to_cpu(cpu)).join();
        let e = tried.unwrap_or_else(|_| Err(io::Error::other("the thread that tried died"))).err()?;
        Some((l.lane, not_pinned(l.lane, cpu, &e)))
    };
    lanes.iter().filter_map(refused).collect()
}

/// What to say of a lane that goes on without its core.
pub fn not_pinned(lane: LaneId, cpu: usize, e: &io::Error) -> String {
    let allowed = thread::allowed_cpus().map_or_else(|_| "others".to_owned(), |all| ranges(&all));
    format!(
        "capture.cores: CPU {cpu} cannot be used ({e}), so lane {lane:03} is not pinned; this process may use {allowed}"
    )
}

/// `0-3, 6`.
fn ranges(all: &[usize]) -> String {
    let mut out: Vec<(usize, usize)> = Vec::new();
    for &n in all {
        match out.last_mut() {
            Some(last) if last.1 + 1 == n => last.1 = n,
            _ => out.push((n, n)),
        }
    }
    let one = |(a, b): &(usize, usize)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    out.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_cannot_be_had_is_named_with_those_that_can() {
        let usable = *thread::allowed_cpus().unwrap().last().unwrap();
        let lane = |lane, core| LanePlan { lane, core, conns: Vec::new() };
        let said =
            refused(&[lane(1, Some(usable)), lane(2, Some(999)), lane(3, None), lane(4, Some(60_000))]);
        assert_eq!(said.iter().map(|s| s.0).collect::<Vec<_>>(), [2, 4]);
        assert!(said[0].1.starts_with("capture.cores: CPU 999 cannot be used"), "{}", said[0].1);
        assert!(said[0].1.contains("lane 002 is not pinned") && said[0].1.contains(&usable.to_string()));
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2, 5, 7-8");
        assert!(thread::allowed_cpus().unwrap().contains(&usable), "trying pins nobody else");
    }
}
