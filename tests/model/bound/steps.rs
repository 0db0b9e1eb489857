//! The steps that are possible in a state.

use super::rules::Rules;
use super::scenario::{Action, Scenario, Theft};
use super::state::{State, Tab};
use crate::scenario::TICK;

impl State {
    /// Returns all possible next steps.
    pub(crate) fn actions(&self, scenario: &Scenario) -> Vec<Action> {
        if self.session.revoked.is_some() || self.over {
            return Vec::new();
        }
        let mut actions = Vec::new();
        self.add_time(scenario, &mut actions);
        self.add_tabs(scenario, &mut actions);
        self.add_registrations(scenario, &mut actions);
        self.add_device(scenario, &mut actions);
        self.add_thief(scenario, &mut actions);
        actions
    }

    fn add_time(&self, scenario: &Scenario, actions: &mut Vec<Action>) {
        let longest = TICK * u32::from(scenario.round_trip);
        let copy = self.browser.copy.as_ref();
        if self.messages().next().is_none() && copy.is_none() {
            actions.push(Action::Sleep);
        }
        let in_time = copy.is_none_or(|copy| self.now < copy.until);
        if in_time && self.messages().all(|sent_at| self.now.since(sent_at) < longest) {
            actions.push(Action::Tick);
        }
    }

    fn add_tabs(&self, scenario: &Scenario, actions: &mut Vec<Action>) {
        for (tab, state) in self.browser.tabs.iter().enumerate() {
            match state {
                // A browser that has a key renews the bound cookie before it sends a request.
                Tab::Idle if self.browser.key.is_some() && self.browser.cookie.is_none() => {}
                Tab::Idle => actions.push(Action::Send(tab)),
                Tab::Asked { shown, sent_at, .. } => {
                    let earliest = self.now.since(*sent_at).as_secs() / TICK.as_secs();
                    for before in 0..=u8::try_from(earliest).unwrap() {
                        let stamp = self.now - TICK * u32::from(before);
                        let apart = self
                            .thief
                            .acted_at
                            .is_none_or(|at| stamp.since(at) > TICK * u32::from(scenario.window));
                        if !apart && scenario.theft == Some(Theft::Ever) {
                            continue;
                        }
                        let decide = Action::Decide { tab, before, expired: false, copied: false };
                        actions.push(decide);
                        if shown.is_some() && scenario.theft != Some(Theft::Ever) {
                            actions.push(Action::Decide {
                                tab,
                                before,
                                expired: true,
                                copied: false,
                            });
                        }
                        if scenario.late.is_some() && self.browser.copy.is_none() {
                            actions.push(Action::Decide {
                                tab,
                                before,
                                expired: false,
                                copied: true,
                            });
                        }
                    }
                    actions.push(Action::Lose(tab));
                }
                Tab::Answered { .. } => actions.extend([Action::Land(tab), Action::Lose(tab)]),
            }
        }
        if self.browser.copy.is_some() {
            actions.extend([Action::Arrive, Action::LoseCopy]);
        }
    }

    fn add_registrations(&self, scenario: &Scenario, actions: &mut Vec<Action>) {
        for (which, registration) in self.browser.registrations.iter().enumerate() {
            let apart = self.is_apart(scenario, self.thief.acted_at);
            match registration.accepted {
                None if scenario.theft != Some(Theft::Ever) => {
                    actions.push(Action::Register { which, again: true });
                    actions.push(Action::Register { which, again: false });
                }
                None if apart => actions.push(Action::Register { which, again: false }),
                None => {}
                Some(_) => actions.push(Action::Bind(which)),
            }
            actions.push(Action::LoseRegistration(which));
        }
    }

    fn add_device(&self, scenario: &Scenario, actions: &mut Vec<Action>) {
        let browser = &self.browser;
        let key = browser.key.map(|(key, _)| key);
        let useful = key != browser.cookie || key != self.device.map(|device| device.key);
        if key.is_some() && useful {
            actions.push(Action::Renew);
        }
        // With a thief at a distance, an expired cookie only means that it is renewed.
        if browser.cookie.is_some() && (key.is_none() || scenario.theft != Some(Theft::Ever)) {
            actions.push(Action::Expire);
        }
        if scenario.key_lost && key.is_some() {
            actions.push(Action::LoseKey);
        }
        if let Some(lag) = scenario.disk_lag
            && browser.copy.is_none()
        {
            let jars = (0..browser.on_disk.len()).map(Some).chain([None]);
            for jar in jars {
                actions.push(Action::Die { jar, keeps_key: true });
                let young = |at| self.now.since(at) <= TICK * u32::from(lag);
                if browser.key.is_some_and(|(_, stored_at)| young(stored_at)) {
                    actions.push(Action::Die { jar, keeps_key: false });
                }
            }
        }
        let lineage = &self.session.lineage;
        let proves = browser.heard.is_some_and(|heard| {
            heard.generation == lineage.generation
                && scenario.policy().proves_receipt(heard.issued_at, self.now)
        });
        let apart =
            scenario.theft != Some(Theft::Ever) || self.is_apart(scenario, self.thief.acted_at);
        if proves && lineage.proven_at.is_none() && apart {
            actions.push(Action::Validate);
        }
    }

    fn add_thief(&self, scenario: &Scenario, actions: &mut Vec<Action>) {
        let Some(theft) = scenario.theft else { return };
        let key = self.browser.key.map(|(key, _)| key);
        let bound = key.is_some() && key == self.device.map(|device| device.key);
        if !self.thief.exists() && (theft == Theft::Ever || bound) {
            actions.push(Action::Steal);
        }
        if self.thief.cookie.is_some() && self.thief.key.is_none() {
            actions.push(Action::ThiefExpires);
        }
        if theft == Theft::Ever && !self.is_apart(scenario, self.victim_acted_at) {
            return;
        }
        for (token, (_, offered)) in self.thief.tokens.iter().enumerate() {
            actions.push(Action::Present { token, shows: false });
            if self.thief.cookie.is_some() {
                actions.push(Action::Present { token, shows: true });
            }
            if *offered || scenario.rules == Rules::ChallengeOfSession {
                actions.push(Action::ThiefRegisters(token));
            }
        }
    }
}
