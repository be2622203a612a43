//! What a worker leaves to older ones, so that all of them together stay cheap: the more are older, the rarer are
//! its own turns at what each of them could do for all. Whoever is left follows, as its count of older ones falls.

/// So many of the oldest workers are seniors, whose turn is always: more than die at once when a host does that runs
/// some of them.
pub(crate) const SENIORS: usize = 5;

/// One turn in so many, at most ten, is the own of a worker that so many live ones are older than.
pub(crate) fn turns_per_own(older: usize) -> u32 {
    u32::try_from(older / SENIORS + 1).map_or(10, |turns| turns.min(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_oldest_leave_nothing_and_everybody_has_one_turn_in_ten() {
        let turns = [0, 4, 5, 9, 10, 44, 45, 99, usize::MAX].map(turns_per_own);
        assert_eq!(turns, [1, 1, 2, 2, 3, 9, 10, 10, 10]);
    }

    #[test]
    fn a_hundred_workers_take_as_many_turns_as_twenty_who_leave_nothing() {
        let all: f64 = (0..100)
            .map(|older| 1.0 / f64::from(turns_per_own(older)))
            .sum();
        assert!((19.0..20.0).contains(&all), "{all} turns");
    }
}
