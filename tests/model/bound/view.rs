//! The view of a state. It makes the number of states finite.

use token_authority::clock::Timestamp;

use super::rules::Key;
use super::scenario::Scenario;
use super::state::{Registration, State, Tab};
use crate::scenario::TICK;
use crate::system::Party;
use crate::view::standing;
use crate::world::Held;

impl State {
    /// Returns the view of a state.
    pub(crate) fn view(&self, scenario: &Scenario) -> Box<[u8]> {
        let view = View { state: self, scenario };
        let mut bytes = view.of_row();
        bytes.extend(view.of_browser());
        for list in [view.of_tabs(), view.of_registrations()] {
            bytes.push(u8::MAX);
            for part in list {
                bytes.push(part.len().try_into().unwrap());
                bytes.extend(part);
            }
        }
        bytes.push(u8::MAX);
        for (token, offered) in &self.thief.tokens {
            bytes.extend([self.of_token(token), u8::from(*offered)]);
        }
        bytes.into()
    }

    /// Returns the relation of a token to the row, and whether it is older than the registration.
    pub(crate) fn of_token(&self, token: &Held) -> u8 {
        let generation = token.token().generation();
        let older = self.device.as_ref().is_some_and(|device| generation < device.generation);
        standing(&self.session.lineage, token) + 16 * u8::from(older)
    }

    /// Names a key by what else has it.
    fn of_key(&self, key: Option<Key>) -> u8 {
        let Some(key) = key else { return 0 };
        let known = [
            self.device.as_ref().map(|device| device.key),
            self.browser.key.map(|(key, _)| key),
            self.browser.cookie,
            self.thief.key,
            self.thief.cookie,
        ];
        let place = known.iter().position(|other| *other == Some(key)).unwrap_or(known.len());
        1 + u8::try_from(place).unwrap()
    }
}

struct View<'a> {
    state: &'a State,
    scenario: &'a Scenario,
}

impl View<'_> {
    fn of_row(&self) -> Vec<u8> {
        let State { session, device, browser, .. } = self.state;
        let lineage = &session.lineage;
        let is_first = lineage.predecessor.is_none() && lineage.handed_out_at <= session.created_at;
        let heard = browser.heard.filter(|heard| heard.generation == lineage.generation);
        vec![
            u8::from(session.revoked.is_some()),
            u8::from(self.state.over),
            u8::from(browser.lost),
            self.state.switches,
            self.state.succeeded.map_or(0, |party| 1 + u8::from(party == Party::Thief)),
            self.apart(self.state.victim_acted_at),
            self.apart(self.state.thief.acted_at),
            u8::from(is_first),
            self.age(Some(lineage.handed_out_at)),
            self.apart(lineage.proven_at),
            self.age(heard.map(|heard| heard.issued_at)),
            self.apart(device.map(|device| device.bound_at)),
        ]
    }

    fn of_browser(&self) -> Vec<u8> {
        let State { browser, thief, .. } = self.state;
        let mut bytes = vec![
            self.state.of_token(&browser.jar),
            self.state.of_key(browser.key.map(|(key, _)| key)),
            self.age(browser.key.map(|(_, at)| at).filter(|_| self.scenario.disk_lag.is_some())),
            self.state.of_key(browser.cookie),
            self.state.of_key(thief.key),
            self.state.of_key(thief.cookie),
        ];
        for (token, replaced_at) in &browser.on_disk {
            bytes.extend([self.age(Some(*replaced_at)), self.state.of_token(token)]);
        }
        bytes.push(u8::MAX);
        if let Some(copy) = &browser.copy {
            let left = copy.until.since(self.state.now).as_secs() / TICK.as_secs();
            bytes.extend([
                u8::try_from(left).unwrap(),
                self.state.of_token(&copy.token),
                self.state.of_key(copy.shown),
            ]);
        }
        bytes
    }

    /// The tabs are interchangeable.
    fn of_tabs(&self) -> Vec<Vec<u8>> {
        let of_tab = |tab: &Tab| {
            let mut bytes = vec![self.age(tab.sent_at())];
            match tab {
                Tab::Idle => {}
                Tab::Asked { token, shown, .. } => {
                    bytes.extend([self.state.of_token(token), self.state.of_key(*shown)]);
                }
                Tab::Answered { answer, .. } => {
                    let newest = answer.access.generation == self.state.session.lineage.generation;
                    let issued_at = newest.then_some(answer.access.issued_at);
                    bytes.extend([
                        u8::MAX,
                        self.state.of_token(&answer.token),
                        u8::from(answer.sets_cookie),
                        u8::from(answer.offers),
                        self.age(issued_at),
                    ]);
                }
            }
            bytes
        };
        let mut tabs: Vec<_> = self.state.browser.tabs.iter().map(of_tab).collect();
        tabs.sort_unstable();
        tabs
    }

    fn of_registrations(&self) -> Vec<Vec<u8>> {
        let of_registration = |registration: &Registration| {
            vec![
                self.age(Some(registration.sent_at)),
                self.state.of_key(Some(registration.key)),
                self.state.of_token(&registration.presented),
                u8::from(registration.presented.hash() == registration.offered.hash()),
                registration.accepted.map_or(0, |accepted| 1 + u8::from(accepted)),
                u8::from(registration.awaited),
            ]
        };
        let registrations = self.state.browser.registrations.iter();
        let mut all: Vec<_> = registrations.map(of_registration).collect();
        all.sort_unstable();
        all
    }

    /// Returns how long ago a moment was that matters only for A.
    fn apart(&self, moment: Option<Timestamp>) -> u8 {
        let Scenario { window, round_trip, .. } = *self.scenario;
        let age = self.age(moment);
        if age == u8::MAX { age } else { age.min(window + 1 + round_trip) }
    }

    /// Returns how long ago a moment was, up to the age beyond which age makes no difference.
    fn age(&self, moment: Option<Timestamp>) -> u8 {
        let Some(moment) = moment else { return u8::MAX };
        let Scenario { window, round_trip, .. } = *self.scenario;
        let oldest = 2 * window + 1 + round_trip;
        let ago = self.state.now.since(moment).as_micros().div_ceil(TICK.as_micros());
        u8::try_from(ago.min(oldest.into())).unwrap()
    }
}
