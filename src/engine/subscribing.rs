//! Subscriptions of venues whose answers name neither topic nor request: one message at a time, so that each answer is
//! that of the message that waits. What is refused together is tried apart, so that one bad topic costs itself alone.

use std::collections::VecDeque;

use crate::model::Tuning;
use crate::venue::Venue;

/// An answer comes within this, or is not waited for: data of a topic confirms it as well.
const ANSWER_NS: i64 = 5_000_000_000;
/// First and longest wait after a refusal that passes by itself.
const WAIT_NS: (i64, i64) = (1_000_000_000, 30_000_000_000);

/// First and longest wait before a message that had no answer is sent again.
const AGAIN_NS: (i64, i64) = (5_000_000_000, 600_000_000_000);

/// Refusals in a row after which a message that subscribes to nothing is given up.
const SAID_MOST: u32 = 5;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// These topics are confirmed.
    Confirmed(Vec<String>),
    /// This topic is refused.
    Refused(String),
    /// It will be tried again, whole or in parts; or nobody waits for an answer.
    Again,
}

/// A message, as it waits.
struct Ask {
    /// What it subscribes to.
    topics: Vec<String>,
    /// It is about something else, and this is its text.
    text: Option<String>,
    /// Not to be sent before this (monotonic ns).
    due: i64,
    /// How often it had no answer.
    unanswered: u32,
}

impl Ask {
    fn of(topics: Vec<String>) -> Ask {
        Ask { topics, text: None, due: 0, unanswered: 0 }
    }
}

/// The topics of one connection that are not subscribed to yet, and whatever else is said on it.
pub struct Subscribing {
    venue: &'static dyn Venue,
    tuning: Tuning,
    waiting: VecDeque<Ask>,
    /// The message that waits for its answer, and since when (monotonic ns).
    asked: Option<(Ask, i64)>,
    not_before: i64,
    refusals: u32,
}

impl Subscribing {
    /// All topics, so many in a message.
    pub fn new(
        venue: &'static dyn Venue,
        tuning: Tuning,
        topics: impl Iterator<Item = String>,
    ) -> Subscribing {
        let most = tuning.topics_per_message.unwrap_or(venue.spec().topics_per_message).max(1);
        let mut waiting: VecDeque<Ask> = VecDeque::new();
        for t in topics {
            match waiting.back_mut() {
                Some(last) if last.topics.len() < most => last.topics.push(t),
                _ => waiting.push_back(Ask::of(vec![t])),
            }
        }
        Subscribing { venue, tuning, waiting, asked: None, not_before: 0, refusals: 0 }
    }

    /// Another message, whose answer is not waited for by anybody but must not be taken for that of the next one.
    pub fn say(&mut self, text: String) {
        self.waiting.push_back(Ask { text: Some(text), ..Ask::of(Vec::new()) });
    }

    /// The next message, if it may go out now. `heard`: a topic of this connection has brought something, which confirms it as well.
    pub fn next(&mut self, now: i64, heard: &dyn Fn(&str) -> bool) -> Option<String> {
        if let Some((ask, _)) = self.asked.take_if(|(_, since)| now - *since >= ANSWER_NS) {
            self.lost(ask, now);
        }
        if self.asked.is_some() || now < self.not_before {
            return None;
        }
        let at = self.waiting.iter().position(|a| a.due <= now)?;
        let mut ask = self.waiting.remove(at)?;
        if ask.unanswered > 0 {
            ask.topics.retain(|t| !heard(t));
        }
        let names: Vec<&str> = ask.topics.iter().map(String::as_str).collect();
        let text = match (&ask.text, names.is_empty()) {
            (Some(text), _) => Some(text.clone()),
            (None, true) => return None,
            (None, false) => self.venue.subscribe_message(&names, &self.tuning),
        };
        self.asked = Some((ask, now));
        text
    }

    /// No answer came: the message may never have been read. It is sent again, ever more rarely, as long as its topics are silent.
    fn lost(&mut self, mut ask: Ask, now: i64) {
        if ask.text.is_none() {
            ask.due = now + (AGAIN_NS.0 << ask.unanswered.min(10)).min(AGAIN_NS.1);
            ask.unanswered += 1;
            self.waiting.push_back(ask);
        }
    }

    /// An answer came; `code` 0 is well.
    pub fn answered(&mut self, code: i64, now: i64) -> Outcome {
        let Some((ask, _)) = self.asked.take() else { return Outcome::Again };
        if code == 0 {
            self.refusals = 0;
            return if ask.text.is_some() { Outcome::Again } else { Outcome::Confirmed(ask.topics) };
        }
        if self.venue.is_passing(code) {
            self.not_before = now + (WAIT_NS.0 << self.refusals.min(5)).min(WAIT_NS.1);
            self.refusals += 1;
            // What ends a topic must not change places with what begins it again, nor keep all others waiting.
            if ask.text.is_none() {
                self.waiting.push_back(ask);
            } else if self.refusals < SAID_MOST {
                self.waiting.push_front(ask);
            }
            return Outcome::Again;
        }
        match <[String; 1]>::try_from(ask.topics) {
            Ok([one]) => Outcome::Refused(one),
            Err(several) => {
                several.into_iter().rev().for_each(|t| self.waiting.push_front(Ask::of(vec![t])));
                Outcome::Again
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT: fn(&str) -> bool = |_| false;

    fn new(n: usize) -> Subscribing {
        let (_, venue) = crate::venue::by_id("pumpkin-perp").unwrap();
        Subscribing::new(venue, Tuning::default(), (0..n).map(|i| format!("trade@s{i}")))
    }

    #[test]
    fn a_message_has_as_many_topics_and_such_names_as_the_configuration_says() {
        let (_, venue) = crate::venue::by_id("pumpkin-perp").unwrap();
        let tuning = Tuning {
            topics_per_message: Some(2),
            book_topic: Some("depth@{symbol},{levels},100ms".to_owned()),
            book_update_topic: Some("depth_update@{symbol}".to_owned()),
            ..Tuning::default()
        };
        let topics = ["depth@btc_usdt,10", "depth.update@btc_usdt", "trade@btc_usdt"];
        let mut s = Subscribing::new(venue, tuning, topics.into_iter().map(str::to_owned));
        let first = r#"{"events":["depth@btc_usdt,10,100ms","depth_update@btc_usdt"],"method":"sub"}"#;
        assert_eq!(s.next(1, &SILENT).as_deref(), Some(first));
        // The streams keep their names.
        assert_eq!(
            s.answered(0, 1),
            Outcome::Confirmed(topics[..2].iter().map(|t| (*t).to_owned()).collect())
        );
        assert_eq!(s.next(1, &SILENT).as_deref(), Some(r#"{"events":["trade@btc_usdt"],"method":"sub"}"#));
    }

    #[test]
    fn one_message_waits_at_a_time_and_is_confirmed_whole() {
        let mut s = new(12);
        assert_eq!(s.next(1, &SILENT).unwrap().matches("trade@").count(), 10);
        assert_eq!(s.next(2, &SILENT), None);
        assert!(matches!(s.answered(0, 3), Outcome::Confirmed(t) if t.len() == 10));
        assert_eq!(s.answered(0, 3), Outcome::Again, "an answer that nobody waits for");
        assert!(s.next(4, &SILENT).unwrap().contains("trade@s11"));
        // No answer: nobody waits for ever.
        assert_eq!((s.next(5, &SILENT), s.next(4 + ANSWER_NS, &SILENT)), (None, None));
        assert_eq!(s.answered(0, 4 + ANSWER_NS), Outcome::Again);
    }

    #[test]
    fn what_had_no_answer_is_sent_again_as_long_as_its_topics_are_silent() {
        let mut s = new(2);
        let both = s.next(1, &SILENT).unwrap();
        let lost = 1 + ANSWER_NS;
        assert_eq!(s.next(lost, &SILENT), None);
        assert_eq!(s.next(lost + AGAIN_NS.0 - 1, &SILENT), None);
        let again = lost + AGAIN_NS.0;
        assert_eq!(s.next(again, &SILENT), Some(both));
        // One of them has spoken meanwhile, and needs no second word.
        let lost = again + ANSWER_NS;
        let next = |s: &mut Subscribing, now, heard: &dyn Fn(&str) -> bool| {
            assert_eq!(s.next(lost, heard), None);
            s.next(now, heard)
        };
        let one = next(&mut s, lost + 2 * AGAIN_NS.0, &|t| t == "trade@s0").unwrap();
        assert_eq!(one, r#"{"events":["trade@s1"],"method":"sub"}"#);
        assert_eq!(s.answered(0, lost + 2 * AGAIN_NS.0), Outcome::Confirmed(vec!["trade@s1".into()]));
        assert_eq!(s.next(i64::MAX / 2, &SILENT), None, "nothing is left");
        // All of them have spoken.
        let mut s = new(1);
        assert!(s.next(1, &SILENT).is_some());
        assert_eq!([1 + ANSWER_NS, i64::MAX / 2].map(|now| s.next(now, &|_| true)), [None, None]);
    }

    #[test]
    fn what_else_is_said_waits_for_its_turn_and_its_answer_is_its_own() {
        let mut s = new(1);
        assert!(s.next(1, &SILENT).is_some());
        s.say("end".into());
        s.say("begin".into());
        assert_eq!(s.next(2, &SILENT), None);
        assert!(matches!(s.answered(0, 2), Outcome::Confirmed(_)));
        assert_eq!(s.next(3, &SILENT).as_deref(), Some("end"));
        assert_eq!(s.answered(40006, 3), Outcome::Again);
        assert_eq!(s.next(3 + WAIT_NS.0, &SILENT).as_deref(), Some("end"), "never behind what begins");
        assert_eq!(s.answered(0, 4 + WAIT_NS.0), Outcome::Again);
        assert_eq!(s.next(5 + WAIT_NS.0, &SILENT).as_deref(), Some("begin"));
        // Refused, or without an answer: nobody waits for it.
        assert_eq!(s.answered(40002, 5 + WAIT_NS.0), Outcome::Again);
        assert_eq!(s.next(i64::MAX / 2, &SILENT), None);
    }

    #[test]
    fn what_is_refused_together_is_tried_apart() {
        let mut s = new(3);
        assert!(s.next(1, &SILENT).is_some());
        assert_eq!(s.answered(40002, 1), Outcome::Again);
        for i in 0..3 {
            let text = s.next(2, &SILENT).unwrap();
            assert!(text.contains(&format!("trade@s{i}")) && text.matches("trade@").count() == 1, "{text}");
            let code = if i == 1 { 40002 } else { 0 };
            let want = match i {
                1 => Outcome::Refused("trade@s1".into()),
                _ => Outcome::Confirmed(vec![format!("trade@s{i}")]),
            };
            assert_eq!(s.answered(code, 2), want);
        }
        assert_eq!(s.next(3, &SILENT), None);
    }

    #[test]
    fn what_passes_is_tried_again_later() {
        let mut s = new(2);
        let text = s.next(1, &SILENT).unwrap();
        assert_eq!(s.answered(40006, 1), Outcome::Again);
        assert_eq!(s.next(2, &SILENT), None);
        assert_eq!(s.next(1 + WAIT_NS.0, &SILENT), Some(text.clone()));
        assert_eq!(s.answered(50001, 5), Outcome::Again);
        assert_eq!(s.next(5 + WAIT_NS.0, &SILENT), None, "the second wait is longer");
        assert_eq!(s.next(5 + 2 * WAIT_NS.0, &SILENT), Some(text));
    }
}
