//! What a configuration says of a venue instead of what its folder says: whether the venue can be given it, and where it
//! takes effect on a connection.

use std::time::Duration;

use super::plan::PlanFault;
use crate::config::VenueConfig;
use crate::model::{Tuning, VenueSpec};
use crate::venue::Venue;
use crate::wire::reader::ConnectRequest;

/// Streams a connection and weight a minute where no limit is documented.
const UNKNOWN_MOST: u32 = 100_000;
/// Requests a second.
const PACE_MOST: u32 = 1000;
/// Bytes of a topic's template and of a path's prefix.
const TEXT_MAX: usize = 128;

/// Refuses what the venue has no use for or does not bear.
///
/// # Errors
/// [`PlanFault::Tuning`] names the key and what would be right.
pub fn check(config: &VenueConfig, venue: &dyn Venue) -> Result<(), PlanFault> {
    let (spec, t) = (venue.spec(), &config.tuning);
    let faults = [
        ("max_topics_per_conn", t.streams_per_conn.and_then(|n| streams(n, spec))),
        ("max_topics_per_frame", t.topics_per_message.and_then(|n| topics(n, spec))),
        ("ping_interval", ping(t, spec)),
        ("pong_timeout", t.dead_after_s.and_then(|s| silence(s, spec))),
        ("rest_budget_per_min", t.weight_per_minute.and_then(|n| weight(n, spec))),
        ("rest_max_per_s", t.rest_per_s.and_then(|n| pace(n, spec))),
        (
            "book_topic_template",
            t.book_topic.as_deref().and_then(|t| template(t, &["symbol", "levels"], spec)),
        ),
        (
            "book_update_topic_template",
            t.book_update_topic.as_deref().and_then(|t| template(t, &["symbol"], spec)),
        ),
        ("ws_routes", t.routes.as_deref().and_then(|r| routes(r, venue.routes()))),
        (
            "server_ping_reply",
            word(&t.ping_reply, venue.ping_replies(), "how its pings are answered is known"),
        ),
        ("rest_auth", word(&t.rest_auth, venue.rest_auths(), "a key is used where it has a use")),
        ("id_policy", word(&config.id_policy, venue.id_policies(), "what its ids prove is known")),
    ];
    match faults.into_iter().find_map(|(key, why)| Some((key, why?))) {
        Some((key, why)) => Err(PlanFault::Tuning { venue: config.id.clone(), key, why }),
        None => Ok(()),
    }
}

/// A word of a few that a venue has; `instead`: why other venues have none.
fn word<T>(said: &Option<String>, own: &[(&'static str, T)], instead: &str) -> Option<String> {
    let said = said.as_ref()?;
    if own.is_empty() {
        return Some(format!("the venue has no such key: {instead}; leave it out"));
    }
    let all: Vec<&str> = own.iter().map(|w| w.0).collect();
    (!all.contains(&said.as_str())).then(|| format!("{said:?} is none of: {}", all.join(", ")))
}

fn streams(n: usize, spec: &VenueSpec) -> Option<String> {
    let most = match spec.limits_known {
        true => spec.streams_per_conn_max.max(spec.streams_per_conn_most),
        false => UNKNOWN_MOST as usize,
    };
    let (is_right, own) = ((1..=most).contains(&n), spec.streams_per_conn_max);
    (!is_right).then(|| format!("{n} streams a connection; write 1 to {most}, or leave it out for {own}"))
}

fn topics(n: usize, spec: &VenueSpec) -> Option<String> {
    match spec.topics_per_message {
        0 => Some("the venue is not subscribed to by messages of several topics; leave it out".to_owned()),
        own => (!(1..=1000).contains(&n)).then(|| format!("{n}; write 1 to 1000, or leave it out for {own}")),
    }
}

fn ping(t: &Tuning, spec: &VenueSpec) -> Option<String> {
    let dead = t.dead_after_s.unwrap_or(spec.dead_after_s);
    let own = spec.heartbeat.ping.map(|p| p.1);
    let every = match (t.ping_every_s, own) {
        (Some(_), None) => return Some("the venue takes no pings as messages; leave it out".to_owned()),
        (None, own) => own?,
        (Some(s), Some(_)) => s,
    };
    (every == 0 || every >= dead).then(|| {
        format!("\"{every}s\" must be at least \"1s\" and less than pong_timeout, which is \"{dead}s\"")
    })
}

fn silence(s: u32, spec: &VenueSpec) -> Option<String> {
    let (least, most) = (spec.probe_after_s + 1, spec.silence_most_s());
    let own = spec.dead_after_s;
    let is_right = (least..=most).contains(&s);
    (!is_right)
        .then(|| format!("\"{s}s\"; write \"{least}s\" to \"{most}s\", or leave it out for \"{own}s\""))
}

fn weight(n: u32, spec: &VenueSpec) -> Option<String> {
    let own = spec.weight_per_minute;
    let most = if spec.limits_known { own } else { UNKNOWN_MOST };
    let is_right = (1..=most).contains(&n);
    (!is_right).then(|| format!("{n} a minute; write 1 to {most}, or leave it out for {own}"))
}

fn pace(n: u32, spec: &VenueSpec) -> Option<String> {
    let own = match spec.rest_per_s {
        0 => "no limit".to_owned(),
        n => n.to_string(),
    };
    (n > PACE_MOST).then(|| {
        format!("{n} requests a second; write 1 to {PACE_MOST}, 0 for no limit, or leave it out for {own}")
    })
}

fn template(text: &str, places: &[&str], spec: &VenueSpec) -> Option<String> {
    if !spec.names_topics {
        return Some("the venue's topics have known names; leave it out".to_owned());
    }
    let bare = places.iter().fold(text.to_owned(), |t, p| t.replace(&format!("{{{p}}}"), ""));
    let is_right = text.contains("{symbol}")
        && text.len() <= TEXT_MAX
        && !bare.contains(['{', '}', '"', '\\'])
        && !bare.chars().any(char::is_control);
    let all: Vec<String> = places.iter().map(|p| format!("{{{p}}}")).collect();
    (!is_right).then(|| {
        format!(
            "{text:?} is no template; {{symbol}} must stand in it, of braces only {} may, and it has at most {TEXT_MAX} bytes",
            all.join(" and ")
        )
    })
}

fn routes(all: &[String], own: &[&str]) -> Option<String> {
    if own.is_empty() {
        return Some("the venue's addresses have no prefixes; leave it out".to_owned());
    }
    let is_path = |r: &String| {
        r.is_empty()
            || (r.starts_with('/')
                && !r.ends_with('/')
                && r.len() <= TEXT_MAX
                && r.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b)))
    };
    if let Some(wrong) = all.iter().find(|r| !is_path(r)) {
        return Some(format!(
            "{wrong:?} is no prefix of a path; write one like \"/public\", without a slash behind"
        ));
    }
    let is_right = all.is_empty() || all.len() == own.len();
    (!is_right).then(|| {
        format!(
            "{} prefixes; the venue has {}: {own:?}. Write as many in that order, or [] for none",
            all.len(),
            own.len()
        )
    })
}

/// The answer to a ping that comes as a message, as the configuration has it; `None`: there is none.
pub(super) fn pong(venue: &dyn Venue, t: &Tuning) -> Option<&'static str> {
    let said = t.ping_reply.as_deref().and_then(|said| venue.ping_replies().iter().find(|w| w.0 == said));
    said.map_or(venue.spec().heartbeat.pong, |w| w.1)
}

/// How a connection shows that it lives, as the configuration has it.
pub(super) fn beats(request: &mut ConnectRequest, t: &Tuning) {
    if let (Some((_, every)), Some(s)) = (&mut request.ping, t.ping_every_s) {
        *every = Duration::from_secs(u64::from(s));
    }
    if let Some(s) = t.dead_after_s {
        request.dead_after = Duration::from_secs(u64::from(s));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::plan::{self, Plan};

    fn planned(id: &str, symbols: usize, channel: &str, more: &str) -> Result<Plan, String> {
        let names: Vec<String> = (0..symbols).map(|n| format!("\"s{n}_PERP\"")).collect();
        let text = format!(
            "[[venue]]\nid = {id:?}\nsymbols = [{}]\nchannels = [{channel:?}]\nrest = \"http://127.0.0.1:1\"\n\
             ws = \"ws://127.0.0.1:2\"\n{more}\n",
            names.join(", ")
        );
        let config = Config::from_parts("x.toml", &text, [], &[]).map_err(|e| e.to_string())?;
        plan::plan(&config).map_err(|e| e.to_string())
    }

    fn sizes(p: &Plan) -> Vec<usize> {
        p.lanes.iter().flat_map(|l| &l.conns).map(|c| c.2.streams.len()).collect()
    }

    #[test]
    fn as_many_streams_a_connection_as_the_configuration_says() {
        for id in ["pumpkin-perp", "binance-spot", "binance-usdm", "binance-coinm", "aster-futures"] {
            let p = planned(id, 7, "trade", "max_topics_per_conn = 3");
            let p = p.unwrap_or_else(|_| planned(id, 7, "aggTrade", "max_topics_per_conn = 3").unwrap());
            assert_eq!(sizes(&p), [3, 3, 1], "{id}");
        }
        assert_eq!(
            sizes(&planned("ascendex-spot", 7, "trades", "max_topics_per_conn = 3").unwrap()),
            [3, 3, 1]
        );
        // More than we take by ourselves, where the venue's page has more.
        assert_eq!(sizes(&planned("binance-spot", 210, "trade", "").unwrap()), [200, 10]);
        assert_eq!(
            sizes(&planned("binance-spot", 210, "trade", "max_topics_per_conn = 1024").unwrap()),
            [210]
        );
    }

    #[test]
    fn paths_have_the_prefixes_that_the_configuration_says() {
        let urls = |more: &str| -> Vec<String> {
            let text = format!(
                "[[venue]]\nid = \"binance-usdm\"\nsymbols = [\"BTCUSDT\"]\nchannels = [\"depth@100ms\", \"aggTrade\"]\n\
                 ws = \"ws://127.0.0.1:2\"\n{more}\n"
            );
            let p = plan::plan(&Config::from_parts("x.toml", &text, [], &[]).unwrap()).unwrap();
            p.lanes.iter().flat_map(|l| &l.conns).map(|c| c.2.url.clone()).collect()
        };
        let (depth, trades) = ("btcusdt@depth@100ms", "btcusdt@aggTrade");
        let base = "ws://127.0.0.1:2";
        assert_eq!(
            urls("ws_routes = [\"/a\", \"/b/c\"]"),
            [format!("{base}/a/stream?streams={depth}"), format!("{base}/b/c/stream?streams={trades}")]
        );
        assert_eq!(urls("ws_routes = []"), [format!("{base}/stream?streams={depth}/{trades}")]);
    }

    #[test]
    fn pings_deadline_and_budget_are_those_of_the_configuration() {
        let more = "ping_interval = \"5s\"\npong_timeout = \"40s\"\nrest_budget_per_min = 600\nrest_weight_share = 1.0";
        let p = planned("pumpkin-perp", 1, "trade", more).unwrap();
        assert_eq!(p.venues[0].weight_allowed, 600);
        let spec = p.venues[0].venue.spec();
        let tls = crate::wire::TlsSetup::new(&[]).unwrap();
        let mut r = ConnectRequest::new(1, "ws://127.0.0.1:2/".to_owned(), Vec::new(), tls, spec);
        beats(&mut r, &p.venues[0].hosts.tuning);
        assert_eq!(r.ping, Some(("ping".to_owned(), Duration::from_secs(5))));
        assert_eq!(r.dead_after, Duration::from_secs(40));
    }

    #[test]
    fn a_ping_of_the_venue_s_is_answered_as_the_configuration_says() {
        let answer = |more: &str| {
            let p = planned("pumpkin-perp", 1, "trade", more).unwrap();
            pong(p.venues[0].venue, &p.venues[0].hosts.tuning)
        };
        assert_eq!(answer(""), Some("pong"));
        assert_eq!(answer("server_ping_reply = \"pong\""), Some("pong"));
        assert_eq!(answer("server_ping_reply = \"none\""), None);
        let p = planned("ascendex-spot", 1, "trades", "").unwrap();
        assert_eq!(pong(p.venues[0].venue, &Tuning::default()), Some(r#"{"op":"pong"}"#));
    }

    #[test]
    fn what_a_venue_cannot_be_given_is_refused_with_its_line_and_the_remedy() {
        for (id, more, why) in [
            ("pumpkin-perp", "max_topics_per_conn = 0", "write 1 to 100000, or leave it out for 50"),
            ("aster-futures", "max_topics_per_conn = 201", "write 1 to 200"),
            ("binance-spot", "max_topics_per_conn = 1025", "write 1 to 1024"),
            ("pumpkin-perp", "max_topics_per_frame = 0", "write 1 to 1000, or leave it out for 10"),
            ("binance-spot", "max_topics_per_frame = 5", "leave it out"),
            ("pumpkin-perp", "ping_interval = \"15s\"", "less than pong_timeout, which is \"15s\""),
            ("binance-spot", "ping_interval = \"1s\"", "leave it out"),
            ("pumpkin-perp", "pong_timeout = \"61s\"", "write \"1s\" to \"60s\""),
            ("binance-spot", "pong_timeout = \"7s\"", "write \"4s\" to \"6s\""),
            ("binance-spot", "rest_budget_per_min = 6001", "write 1 to 6000"),
            (
                "ascendex-spot",
                "rest_max_per_s = 1001",
                "write 1 to 1000, 0 for no limit, or leave it out for 2",
            ),
            ("pumpkin-perp", "book_topic_template = \"depth,{levels}\"", "{symbol} must stand in it"),
            ("pumpkin-perp", "book_update_topic_template = \"d@{symbol},{levels}\"", "only {symbol} may"),
            ("binance-spot", "book_topic_template = \"depth@{symbol}\"", "leave it out"),
            ("pumpkin-perp", "ws_routes = [\"/a\"]", "leave it out"),
            ("binance-usdm", "ws_routes = [\"/a\"]", "[\"/public\", \"/market\"]"),
            ("binance-usdm", "ws_routes = [\"/a/\", \"b\"]", "no prefix of a path"),
            ("pumpkin-perp", "server_ping_reply = \"PONG\"", "\"PONG\" is none of: pong, none"),
            ("ascendex-spot", "server_ping_reply = \"pong\"", "the venue has no such key"),
            ("pumpkin-perp", "rest_auth = \"hmac\"", "\"hmac\" is none of: none, query_hmac"),
            ("binance-spot", "rest_auth = \"none\"", "the venue has no such key"),
            ("pumpkin-perp", "id_policy = \"loose\"", "\"loose\" is none of: strict, sparse, learn"),
            (
                "binance-spot",
                "id_policy = \"strict\"",
                "the venue has no such key: what its ids prove is known",
            ),
        ] {
            let channel = match id {
                "aster-futures" => "aggTrade",
                "ascendex-spot" => "trades",
                _ => "trade",
            };
            let e = planned(id, 1, channel, more).map(|_| ()).unwrap_err();
            let key = more.split(' ').next().unwrap();
            assert!(e.starts_with("x.toml:7: ") && e.contains(key) && e.contains(why), "{more}: {e}");
        }
        // What is shorter than a second is no figure of any venue.
        let e = planned("pumpkin-perp", 1, "trade", "ping_interval = \"1500ms\"").map(|_| ()).unwrap_err();
        assert!(e.contains("x.toml:7") && e.contains("ping_interval") && e.contains("whole seconds"), "{e}");
    }
}
