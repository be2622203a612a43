//! One value per lane, addressed by the lane instead of by a number.

use std::ops::{Index, IndexMut};

use leasectl_core::kind::Lane;

/// One `T` for each of the lanes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct PerLane<T>([T; Lane::ALL.len()]);

impl<T> PerLane<T> {
    /// Makes each lane's value.
    pub(crate) fn from_fn(mut make: impl FnMut(Lane) -> T) -> Self {
        Self(Lane::ALL.map(&mut make))
    }
}

fn position(lane: Lane) -> usize {
    match lane {
        Lane::Fetch => 0,
        Lane::Index => 1,
        Lane::Backfill => 2,
        Lane::Stack => 3,
    }
}

impl<T> Index<Lane> for PerLane<T> {
    type Output = T;

    fn index(&self, lane: Lane) -> &T {
        &self.0[position(lane)]
    }
}

impl<T> IndexMut<Lane> for PerLane<T> {
    fn index_mut(&mut self, lane: Lane) -> &mut T {
        &mut self.0[position(lane)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lane_has_its_own_value() {
        let mut names = PerLane::from_fn(Lane::as_str);
        for lane in Lane::ALL {
            assert_eq!(names[lane], lane.as_str());
        }
        names[Lane::Index] = "other";
        assert_eq!(names[Lane::Index], "other");
        assert_eq!(names[Lane::Fetch], "fetch");
    }
}
