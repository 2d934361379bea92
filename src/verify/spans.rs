//! Sets of time: half-open stretches `[begin, end)` in ns.

/// A set of stretches. Pushing is cheap; the set is put in order when it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<(i64, i64)>);

impl Spans {
    /// Adds a stretch; an empty one is nothing. One that continues or overlaps the last one grows it, so that a long
    /// time cut into many pieces takes the memory of one.
    pub fn push(&mut self, begin: i64, end: i64) {
        if begin >= end {
            return;
        }
        if let Some(last) = self.0.last_mut()
            && begin <= last.1
            && begin >= last.0
        {
            last.1 = last.1.max(end);
            return;
        }
        self.0.push((begin, end));
    }

    /// The same set, sorted, its stretches apart from each other.
    pub fn tidy(mut self) -> Spans {
        self.0.sort_unstable();
        let mut out = Spans::default();
        for (b, e) in self.0 {
            out.push(b, e);
        }
        out
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.0.iter().copied()
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sum of the lengths of a tidy set.
    pub fn length(&self) -> i64 {
        self.0.iter().fold(0i64, |n, (b, e)| n.saturating_add(e.saturating_sub(*b)))
    }

    /// Both sets together.
    pub fn union(&self, other: &Spans) -> Spans {
        Spans(self.0.iter().chain(&other.0).copied().collect()).tidy()
    }

    /// What is in both; both must be tidy.
    pub fn intersection(&self, other: &Spans) -> Spans {
        let (mut i, mut j) = (0, 0);
        let mut out = Spans::default();
        while let (Some(a), Some(b)) = (self.0.get(i), other.0.get(j)) {
            out.push(a.0.max(b.0), a.1.min(b.1));
            if a.1 <= b.1 {
                i += 1;
            } else {
                j += 1;
            }
        }
        out
    }

    /// What is here and not there; both must be tidy.
    pub fn without(&self, other: &Spans) -> Spans {
        let mut out = Spans::default();
        let mut j = 0;
        for &(mut b, e) in &self.0 {
            while other.0.get(j).is_some_and(|o| o.1 <= b) {
                j += 1;
            }
            let mut k = j;
            while let Some(&(ob, oe)) = other.0.get(k).filter(|o| o.0 < e) {
                out.push(b, ob.min(e));
                b = b.max(oe);
                k += 1;
            }
            out.push(b, e);
        }
        out
    }

    /// The part from a time on.
    pub fn from(&self, begin: i64) -> Spans {
        let mut only = Spans::default();
        only.push(begin, i64::MAX);
        self.intersection(&only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spans(list: &[(i64, i64)]) -> Spans {
        Spans(list.iter().copied().filter(|(b, e)| b < e).collect()).tidy()
    }

    fn has(s: &Spans, t: i64) -> bool {
        s.iter().any(|(b, e)| b <= t && t < e)
    }

    #[test]
    fn neighbours_become_one() {
        let mut s = Spans::default();
        for i in 0..1000 {
            s.push(i, i + 1);
        }
        assert_eq!(s, spans(&[(0, 1000)]));
        assert_eq!(s.length(), 1000);
        s.push(5, 5);
        assert_eq!(s.without(&s), Spans::default());
        assert!(s.intersection(&Spans::default()).is_empty());
        assert_eq!(s.from(990).length(), 10);
    }

    proptest! {
        #[test]
        fn sets_behave_like_sets_of_points(
            a in proptest::collection::vec((0i64..40, 0i64..40), 0..8),
            b in proptest::collection::vec((0i64..40, 0i64..40), 0..8),
        ) {
            let (a, b) = (spans(&a), spans(&b));
            let (u, i, w) = (a.union(&b), a.intersection(&b), a.without(&b));
            for t in -1..41 {
                prop_assert_eq!(has(&u, t), has(&a, t) || has(&b, t));
                prop_assert_eq!(has(&i, t), has(&a, t) && has(&b, t));
                prop_assert_eq!(has(&w, t), has(&a, t) && !has(&b, t));
            }
            prop_assert_eq!(u.length() , i.length() + w.length() + b.without(&a).length());
        }
    }
}
