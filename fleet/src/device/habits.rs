//! What people do with a device, and when: the distributions that `docs/evidence.md` states.

use std::time::Duration;

use crate::dice::Dice;
use crate::settings::{HOUR, MINUTE, SECOND};

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A browser with tabs over one jar.
    Browser,
    /// An app that keeps its token in the key store, and writes it before it uses the access token.
    Phone,
}

/// Something that a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Reloads a page, or starts the app anew.
    Reload,
    OpenTab,
    CloseTab,
    /// Leaves a page, which the browser keeps, and comes back.
    GoBackLater,
    /// Ends the browser in order and starts it again with all tabs.
    RestartBrowser,
    /// The browser or the device dies.
    Crash,
    LogOut,
    /// Works with a page.
    Work,
}

/// The most tabs of a browser.
pub(crate) const MAX_TABS: usize = 8;

/// The actions of a browser's user, each with its share of all.
const IN_BROWSER: [(Action, f64); 8] = [
    (Action::Reload, 0.34),
    (Action::OpenTab, 0.10),
    (Action::CloseTab, 0.10),
    (Action::GoBackLater, 0.08),
    (Action::RestartBrowser, 0.04),
    (Action::Crash, 0.015),
    (Action::LogOut, 0.005),
    (Action::Work, 0.32),
];

/// The actions of an app's user.
const ON_PHONE: [(Action, f64); 4] =
    [(Action::Reload, 0.30), (Action::Crash, 0.02), (Action::LogOut, 0.002), (Action::Work, 0.678)];

impl Kind {
    /// Draws a kind: three of four are browsers.
    pub(crate) fn draw(dice: &Dice) -> Self {
        if dice.chance(0.75) { Self::Browser } else { Self::Phone }
    }

    /// Draws how many tabs are open at first.
    pub(crate) fn tabs(self, dice: &Dice) -> usize {
        match (self, dice.unit()) {
            (Self::Phone, _) => 1,
            (_, roll) if roll < 0.35 => 1,
            (_, roll) if roll < 0.60 => 2,
            (_, roll) if roll < 0.75 => 3,
            (_, roll) if roll < 0.85 => 4,
            _ => 5 + dice.below(MAX_TABS - 4),
        }
    }

    pub(crate) fn action(self, dice: &Dice) -> Action {
        let shares: &[(Action, f64)] = match self {
            Self::Browser => &IN_BROWSER,
            Self::Phone => &ON_PHONE,
        };
        let mut roll = dice.unit();
        for (action, share) in shares {
            if roll < *share {
                return *action;
            }
            roll -= share;
        }
        Action::Work
    }

    /// Returns the mean time between two actions.
    pub(crate) fn pace(self) -> Duration {
        match self {
            Self::Browser => MINUTE * 30,
            Self::Phone => MINUTE * 6,
        }
    }

    /// Draws the times of a day at which the device is awake, from midnight, in order and apart.
    pub(crate) fn blocks(self, day: u32, dice: &Dice) -> Vec<(Duration, Duration)> {
        let is_weekend = day % 7 >= 5;
        match self {
            Self::Browser if dice.chance(if is_weekend { 0.2 } else { 0.95 }) => work(dice),
            Self::Phone if dice.chance(0.9) => glances(dice),
            _ => Vec::new(),
        }
    }
}

/// A day of work: morning and afternoon with a lunch, each with its lid closed now and then, and
/// sometimes an evening.
fn work(dice: &Dice) -> Vec<(Duration, Duration)> {
    let begin = dice.around(HOUR * 9, MINUTE * 40);
    let lunch = dice.around(HOUR * 12 + MINUTE * 30, MINUTE * 15);
    let back = lunch + dice.between(MINUTE * 20, MINUTE * 70);
    let end = dice.around(HOUR * 17 + MINUTE * 30, MINUTE * 50).max(back + MINUTE);
    let mut parts = vec![(begin.min(lunch.saturating_sub(MINUTE)), lunch), (back, end)];
    if dice.chance(0.2) {
        let evening = dice.between(HOUR * 20 + MINUTE * 20, HOUR * 22);
        parts.push((evening, evening + dice.between(MINUTE * 10, MINUTE * 80)));
    }
    parts.into_iter().flat_map(|part| with_lid(part, dice)).collect()
}

/// Closes the lid for a while in the middle of a part of the day.
fn with_lid((from, to): (Duration, Duration), dice: &Dice) -> Vec<(Duration, Duration)> {
    let closed = dice.between(from, to);
    let opened = closed + dice.between(SECOND * 10, MINUTE * 45);
    if dice.chance(0.5) && closed > from + MINUTE && opened + MINUTE < to {
        vec![(from, closed), (opened, to)]
    } else {
        vec![(from, to)]
    }
}

/// Short looks at a phone.
fn glances(dice: &Dice) -> Vec<(Duration, Duration)> {
    let mut looks = Vec::new();
    let mut at = dice.between(HOUR * 7, HOUR * 9);
    while at < HOUR * 22 {
        let end = at + dice.between(SECOND * 40, MINUTE * 15);
        looks.push((at, end));
        at = end + MINUTE + dice.gap(HOUR + MINUTE * 20);
    }
    looks
}
