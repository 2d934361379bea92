//! Time: nanoseconds since the Unix epoch, UTC, in `i64`; 0 = not given. Times are named by who stamped them.

/// One second in ns.
pub const NS_PER_S: i64 = 1_000_000_000;
/// One millisecond in ns.
pub const NS_PER_MS: i64 = 1_000_000;
/// One minute in ns.
pub const NS_PER_MIN: i64 = 60 * NS_PER_S;
/// One UTC day in ns (leap seconds are not counted in Unix time).
pub const NS_PER_DAY: i64 = 86_400 * NS_PER_S;

/// Venue milliseconds as ns; out-of-range input gives 0 ("not given") rather than a wrapped time.
#[inline]
pub fn ms_to_ns(ms: i64) -> i64 {
    ms.checked_mul(planted!("time_in_another_unit", 1_000, NS_PER_MS)).unwrap_or(0)
}

/// Start of the UTC-aligned bucket of `len_ns` that holds `ts`.
#[inline]
pub fn floor_to(ts: i64, len_ns: i64) -> i64 {
    ts.div_euclid(len_ns) * len_ns
}

/// The UTC day of `ts` as days since 1970-01-01.
#[inline]
pub fn day_of(ts: i64) -> i64 {
    ts.div_euclid(NS_PER_DAY)
}

/// `YYYY-MM-DD` of days since the epoch (proleptic Gregorian; Howard Hinnant's `civil_from_days`).
pub fn date_text(day: i64) -> String {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let d = doy - (153 * mp + 2) / 5 + 1;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    let y = yoe + era * 400 + i64::from(m <= 2);
    format!("{y:04}-{m:02}-{d:02}")
}

/// The inverse of [`date_text`]; `None` if the text is no date.
pub fn parse_date(text: &str) -> Option<i64> {
    let mut it = text.split('-');
    let (y, m, d): (i64, i64, i64) =
        (it.next()?.parse().ok()?, it.next()?.parse().ok()?, it.next()?.parse().ok()?);
    if it.next().is_some() || !(1..=12).contains(&m) || !(1..=31).contains(&d) {
        return None;
    }
    let y = y - i64::from(m <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = if m > 2 { m - 3 } else { m + 9 };
    let doy = (153 * mp + 2) / 5 + d - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    let day = era * 146_097 + doe - 719_468;
    (date_text(day) == text).then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_round_trip() {
        assert_eq!(date_text(0), "1970-01-01");
        assert_eq!(date_text(day_of(1_723_161_255_030_314_667)), "2024-08-08");
        assert_eq!(parse_date("2024-02-29").map(date_text).as_deref(), Some("2024-02-29"));
        assert_eq!(parse_date("2023-02-29"), None);
        for day in (-200_000..400_000).step_by(97) {
            assert_eq!(parse_date(&date_text(day)), Some(day));
        }
    }

    #[test]
    fn buckets_before_the_epoch_still_floor() {
        assert_eq!(floor_to(-1, 10), -10);
        assert_eq!(floor_to(19, 10), 10);
    }
}
