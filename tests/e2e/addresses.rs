//! A venue's name leads elsewhere, or nowhere: what is connected stays connected, and who must connect takes the address that answers.
//!
//! The recorder looks names up in its own `/etc/hosts` (a mount of its own namespace). Needs `unshare` and the right to mount.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::line::{Ways, line};
use super::oracle_check::{Rules, check};
use super::refold::refold;
use super::rig::{Place, Venue, lobtape, pass, proved, turn, wait_for};

/// Becomes another program, with a file of names of its own. `$0`: that file.
const OWN_NAMES: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";

fn can(what: &str, names: &Path) -> bool {
    let mut c = Command::new("unshare");
    c.args(["-m", "sh", "-c", OWN_NAMES]).arg(names).arg("true").stdout(Stdio::null()).stderr(Stdio::null());
    let there = c.status().is_ok_and(|s| s.success());
    if !there {
        proved(what, &json!({"skipped": "nobody may mount here, or unshare is not installed"}));
    }
    there
}

#[test]
fn a_name_that_leads_elsewhere_or_nowhere_costs_no_connection_and_is_followed_by_the_next() {
    let _turn = turn();
    let what = "addresses";
    let place = Place::new();
    let names = place.dir.path().join("hosts");
    let leads = |lines: &str| std::fs::write(&names, lines).unwrap();
    // The first address is one at which nobody listens.
    leads("::1 localhost\n127.0.0.1 localhost\n");
    if !can(what, &names) {
        return;
    }
    let venue = Venue::start(place.dir.path(), "aster-futures", 4, 500, |_| {});
    let to = venue.sim.ws_base().trim_start_matches("ws://").parse().unwrap();
    let (here, there) = (Arc::new(Ways::default()), Arc::new(Ways::default()));
    let at = line("127.0.0.1:0".parse().unwrap(), to, Arc::clone(&here));
    line(format!("127.0.0.2:{}", at.port()).parse().unwrap(), to, Arc::clone(&there));
    place.configure("1h", 0, &[&venue]);
    place.change(&venue.sim.ws_base(), &format!("ws://localhost:{}", at.port()));
    let recorder = place.record_under(&["unshare", "-m", "sh", "-c", OWN_NAMES, names.to_str().unwrap()]);
    let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
    let came = |h: i64, t: i64| {
        let so = wait_for(Duration::from_secs(60), || here.came() == h && there.came() == t && open());
        assert!(so, "{} and {} came: {}", here.came(), there.came(), recorder.words());
        pass(Duration::from_millis(1500));
        assert_eq!((here.came(), there.came()), (h, t), "{}", recorder.words());
    };
    came(1, 0);
    // Elsewhere: nobody is thrown out, who comes anew goes there.
    leads("127.0.0.2 localhost\n");
    came(1, 0);
    here.hang_up();
    came(1, 1);
    // Nowhere: the same, and it is asked again until there is an answer.
    leads("127.0.0.1 elsewhere\n::1 elsewhere\n");
    came(1, 1);
    there.hang_up();
    let told = wait_for(Duration::from_secs(60), || recorder.log().contains("does not resolve"));
    assert!(told, "nobody says that the name leads nowhere: {}", recorder.words());
    leads("127.0.0.1 localhost\n");
    came(2, 1);
    venue.sim.quiesce().unwrap();
    pass(Duration::from_secs(1));
    recorder.stop();
    let (id, log) = venue.end();
    let rules = Rules { line_cut: true, stopped_first: true, ..Rules::default() };
    let v = check(&place.dataset(), &id, &log, rules);
    proved(what, &v.figures);
    v.demand(what);
    assert_eq!(v.figures.disconnects, 2, "by the line, and no other");
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}
