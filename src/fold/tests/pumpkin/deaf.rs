//! A connection that feeds a book and has gone deaf, where whole views come of their own accord.

use super::*;

/// While ids are being learned no diff is applied: those of the one that feeds the book are its word all the same.
#[test]
fn nobody_is_deaf_while_ids_are_learned() {
    for (step_ms, views) in [(100, false), (1000, false), (1000, true)] {
        let mut l = Lane::new(IdPolicy::Learn);
        l.whole_on(CONN, 1000, r#"["100","1"]"#, r#"["101","1"]"#);
        l.second_leg();
        for n in 0..48 {
            l.ts += step_ms * 1_000_000;
            l.change(1001 + 2 * n, &[(CONN, 0), (LEG, 3000)]);
            if views && n % 12 == 11 {
                l.whole_on(CONN, 1002 + 2 * n, r#"["100","1"]"#, r#"["101","1"]"#);
                l.whole_on(LEG, 4002 + 2 * n, r#"["100","1"]"#, r#"["101","1"]"#);
            }
            assert!(l.best().is_some(), "{step_ms} ms, change {n}: {:?}", l.gaps());
        }
    }
}

/// Where no diffs come, views are what a connection says.
#[test]
fn whole_views_over_the_other_leg_alone_tell_that_the_first_one_is_deaf() {
    for policy in [IdPolicy::Learn, IdPolicy::Strict] {
        let mut l = Lane::new(policy);
        l.second_leg();
        for n in 0..5 {
            l.ts += 1_000_000_000;
            l.whole_on(CONN, 1000 + n, r#"["100","1"]"#, r#"["101","1"]"#);
            l.whole_on(LEG, 1000 + n, r#"["100","1"]"#, r#"["101","1"]"#);
        }
        for n in 5..25 {
            l.ts += 1_000_000_000;
            l.whole_on(LEG, 1000 + n, r#"["90","1"]"#, r#"["91","1"]"#);
        }
        assert_eq!(l.best().as_deref(), Some("90x1 / 91x1"), "{policy:?} {:?}", l.gaps());
        assert!(l.gaps().iter().any(|g| g.contains("SilentStream")), "{policy:?} {:?}", l.gaps());
    }
}
