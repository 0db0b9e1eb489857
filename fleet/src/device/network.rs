//! The network between a client and the service.

use std::time::Duration;

use crate::dice::Dice;
use crate::group::Excess;
use crate::settings::{LATEST_COPY, ROUND_TRIP, SECOND};

/// The share of requests, and of answers, that are lost.
const LOST: f64 = 0.05;
/// The share of requests that a proxy sends again.
const COPIED: f64 = 0.02;
/// The share of lost requests that arrive in the end, when nobody awaits an answer any more.
const ARRIVES_LATE: f64 = 0.2;

/// What happens to a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fate {
    /// When it arrives. `None`: it is lost.
    pub(crate) request: Option<Duration>,
    /// When its answer arrives after that. `None`: it is lost.
    pub(crate) answer: Option<Duration>,
    /// When the page gives up.
    pub(crate) patience: Duration,
    /// When a copy of it arrives, after the original.
    pub(crate) copy: Option<Duration>,
    /// When it arrives after all, after it was sent. Only if it was lost.
    pub(crate) late: Option<Duration>,
}

/// Draws what happens to a request.
pub(crate) fn fate(excess: Excess, dice: &Dice) -> Fate {
    let longest = match excess {
        Excess::SlowReplies(longest) => longest,
        _ => ROUND_TRIP,
    };
    let trip = trip(longest, matches!(excess, Excess::SlowReplies(_)), dice);
    let outward = trip.mul_f64(dice.unit());
    let is_lost = dice.chance(LOST);
    let answer_is_lost = dice.chance(LOST);
    let patience = if (is_lost || answer_is_lost) && dice.chance(0.5) {
        // The connection breaks, and the page notices.
        dice.between(SECOND / 5, SECOND * 5)
    } else {
        longest
    };
    let (latest_copy, copied) = match excess {
        Excess::LateCopies(latest) => (latest, 5.0 * COPIED),
        _ => (LATEST_COPY, COPIED),
    };
    let copy = dice.chance(copied).then(|| dice.between(Duration::ZERO, latest_copy));
    let latest_loss = LATEST_COPY.saturating_sub(ROUND_TRIP);
    let late = dice.chance(ARRIVES_LATE).then(|| dice.between(ROUND_TRIP, latest_loss));
    Fate {
        request: (!is_lost).then_some(outward),
        answer: (!answer_is_lost).then_some(trip.saturating_sub(outward)),
        patience,
        copy: copy.filter(|_| !is_lost),
        late: late.filter(|_| is_lost),
    }
}

/// Draws a round trip.
fn trip(longest: Duration, is_slow: bool, dice: &Dice) -> Duration {
    let roll = dice.unit();
    let slow = if is_slow { 0.10 } else { 0.02 };
    if roll < slow {
        dice.between(SECOND * 3, longest)
    } else if roll < slow + 0.08 {
        dice.between(SECOND / 3, SECOND * 3)
    } else {
        dice.between(SECOND / 30, SECOND / 3)
    }
}
