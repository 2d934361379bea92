//! Subscriptions of venues whose answers name neither topic nor request: one message at a time, so that each answer is
//! that of the message that waits. What is refused together is tried apart, so that one bad topic costs itself alone.

use std::collections::VecDeque;

use crate::model::Tuning;
use crate::venue::Venue;

/// An answer comes within this, or is not waited for: data of a topic confirms it as well.
const ANSWER_NS: i64 = 5_000_000_000;
/// First and longest wait after a refusal that passes by itself.
const WAIT_NS: (i64, i64) = (1_000_000_000, 30_000_000_000);

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

/// The topics of one connection that are not subscribed to yet.
pub struct Subscribing {
    venue: &'static dyn Venue,
    tuning: Tuning,
    waiting: VecDeque<Vec<String>>,
    /// The message that waits for its answer, and since when (monotonic ns).
    asked: Option<(Vec<String>, i64)>,
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
        let mut waiting: VecDeque<Vec<String>> = VecDeque::new();
        for t in topics {
            match waiting.back_mut() {
                Some(last) if last.len() < most => last.push(t),
                _ => waiting.push_back(vec![t]),
            }
        }
        Subscribing { venue, tuning, waiting, asked: None, not_before: 0, refusals: 0 }
    }

    /// The next message, if it may go out now.
    pub fn next(&mut self, now: i64) -> Option<String> {
        if self.asked.as_ref().is_some_and(|(_, since)| now - since >= ANSWER_NS) {
            self.asked = None;
        }
        if self.asked.is_some() || now < self.not_before {
            return None;
        }
        let topics = self.waiting.pop_front()?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let text = self.venue.subscribe_message(&names, &self.tuning);
        self.asked = Some((topics, now));
        text
    }

    /// An answer came; `code` 0 is well.
    pub fn answered(&mut self, code: i64, now: i64) -> Outcome {
        let Some((topics, _)) = self.asked.take() else { return Outcome::Again };
        if code == 0 {
            self.refusals = 0;
            return Outcome::Confirmed(topics);
        }
        if self.venue.is_passing(code) {
            self.not_before = now + (WAIT_NS.0 << self.refusals.min(5)).min(WAIT_NS.1);
            self.refusals += 1;
            self.waiting.push_back(topics);
            return Outcome::Again;
        }
        match <[String; 1]>::try_from(topics) {
            Ok([one]) => Outcome::Refused(one),
            Err(several) => {
                several.into_iter().rev().for_each(|t| self.waiting.push_front(vec![t]));
                Outcome::Again
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(s.next(1).as_deref(), Some(first));
        // The streams keep their names.
        assert_eq!(
            s.answered(0, 1),
            Outcome::Confirmed(topics[..2].iter().map(|t| (*t).to_owned()).collect())
        );
        assert_eq!(s.next(1).as_deref(), Some(r#"{"events":["trade@btc_usdt"],"method":"sub"}"#));
    }

    #[test]
    fn one_message_waits_at_a_time_and_is_confirmed_whole() {
        let mut s = new(12);
        assert_eq!(s.next(1).unwrap().matches("trade@").count(), 10);
        assert_eq!(s.next(2), None);
        assert!(matches!(s.answered(0, 3), Outcome::Confirmed(t) if t.len() == 10));
        assert_eq!(s.answered(0, 3), Outcome::Again, "an answer that nobody waits for");
        assert!(s.next(4).unwrap().contains("trade@s11"));
        // No answer: nobody waits for ever.
        assert_eq!((s.next(5), s.next(4 + ANSWER_NS)), (None, None));
        assert_eq!(s.answered(0, 4 + ANSWER_NS), Outcome::Again);
    }

    #[test]
    fn what_is_refused_together_is_tried_apart() {
        let mut s = new(3);
        assert!(s.next(1).is_some());
        assert_eq!(s.answered(40002, 1), Outcome::Again);
        for i in 0..3 {
            let text = s.next(2).unwrap();
            assert!(text.contains(&format!("trade@s{i}")) && text.matches("trade@").count() == 1, "{text}");
            let code = if i == 1 { 40002 } else { 0 };
            let want = match i {
                1 => Outcome::Refused("trade@s1".into()),
                _ => Outcome::Confirmed(vec![format!("trade@s{i}")]),
            };
            assert_eq!(s.answered(code, 2), want);
        }
        assert_eq!(s.next(3), None);
    }

    #[test]
    fn what_passes_is_tried_again_later() {
        let mut s = new(2);
        let text = s.next(1).unwrap();
        assert_eq!(s.answered(40006, 1), Outcome::Again);
        assert_eq!(s.next(2), None);
        assert_eq!(s.next(1 + WAIT_NS.0), Some(text.clone()));
        assert_eq!(s.answered(50001, 5), Outcome::Again);
        assert_eq!(s.next(5 + WAIT_NS.0), None, "the second wait is longer");
        assert_eq!(s.next(5 + 2 * WAIT_NS.0), Some(text));
    }
}
