//! The effect of a step on a state.

use token_authority::clock::Timestamp;
use token_authority::token::rotation::Verdict;

use super::rules::{Judged, Key, Rules};
use super::scenario::{Action, Scenario, Theft, Violation};
use super::state::{Answer, Copy, State, Tab};
use crate::scenario::TICK;
use crate::system::{Party, candidate};
use crate::world::{Access, Held};

impl State {
    /// Takes a step that [`Self::actions`] returned, and keeps the state that a violation led to.
    pub(crate) fn take(&mut self, scenario: &Scenario, action: Action) -> Result<(), Violation> {
        self.judged = None;
        match action {
            Action::Tick => self.pass(false),
            Action::Sleep => self.pass(true),
            Action::Send(tab) => {
                let (token, shown) = (self.browser.jar.clone(), self.browser.cookie);
                self.browser.tabs[tab] = Tab::Asked { token, shown, sent_at: self.now };
            }
            Action::Decide { tab, before, expired, copied } => {
                self.decide(scenario, tab, before, expired, copied)?;
            }
            Action::Land(tab) => self.land(scenario, tab)?,
            Action::Lose(tab) => self.browser.tabs[tab] = Tab::Idle,
            Action::Arrive => {
                let copy = self.browser.copy.take().expect("the step was possible");
                let (judged, answer) = self.refresh(scenario, &copy.token, copy.shown, self.now);
                if answer.is_none() && judged != Judged::Unbound {
                    self.refused(scenario, judged)?;
                }
            }
            Action::LoseCopy => self.browser.copy = None,
            Action::Register { which, again } => self.register(scenario, which, again)?,
            Action::Bind(which) => {
                let landed = self.browser.registrations.remove(which);
                if landed.accepted == Some(true) && landed.awaited {
                    self.browser.key = Some((landed.key, self.now));
                    self.browser.cookie = Some(landed.key);
                    self.browser.lost = false;
                }
            }
            Action::LoseRegistration(which) => {
                let lost = self.browser.registrations.remove(which);
                self.browser.lost |= self.device.is_some_and(|device| device.key == lost.key);
            }
            Action::Renew => self.renew(),
            Action::Expire => self.browser.cookie = None,
            Action::Die { jar, keeps_key } => self.die(jar, keeps_key),
            Action::LoseKey => {
                (self.browser.key, self.browser.cookie, self.browser.lost) = (None, None, true);
            }
            Action::Validate => {
                self.session.lineage.proven_at = Some(self.now);
                self.victim_acts(self.now);
            }
            Action::Steal => {
                self.thief.tokens.push((self.browser.jar.clone(), false));
                let copies = scenario.theft != Some(Theft::OnceOver);
                self.thief.cookie = self.browser.cookie.filter(|_| copies);
            }
            Action::Present { token, shows } => self.present(scenario, token, shows)?,
            Action::ThiefRegisters(token) => self.register_thief(scenario, token)?,
            Action::ThiefExpires => self.thief.cookie = None,
        }
        self.tidy(scenario);
        Ok(())
    }

    fn decide(
        &mut self,
        scenario: &Scenario,
        tab: usize,
        before: u8,
        expired: bool,
        copied: bool,
    ) -> Result<(), Violation> {
        let Tab::Asked { token, shown, sent_at } = self.browser.tabs[tab].clone() else {
            unreachable!("the step was possible")
        };
        let stamp = self.now - TICK * u32::from(before);
        if copied {
            let late = TICK * u32::from(scenario.late.expect("the step was possible"));
            let until = (stamp + late).max(self.now);
            self.browser.copy = Some(Copy { token: token.clone(), shown, until });
        }
        let shown = shown.filter(|_| !expired);
        let (judged, answer) = self.refresh(scenario, &token, shown, stamp);
        self.victim_acts(stamp);
        if let Some(answer) = answer {
            self.browser.tabs[tab] = Tab::Answered { answer, sent_at };
            return Ok(());
        }
        self.browser.tabs[tab] = Tab::Idle;
        self.refused(scenario, judged)
    }

    fn land(&mut self, scenario: &Scenario, tab: usize) -> Result<(), Violation> {
        let landed = std::mem::replace(&mut self.browser.tabs[tab], Tab::Idle);
        let Tab::Answered { answer, .. } = landed else { unreachable!("the step was possible") };
        let Answer { token, sets_cookie, offers, access } = answer;
        match &mut self.browser.heard {
            Some(heard) if access.generation == heard.generation => {
                heard.issued_at = heard.issued_at.min(access.issued_at);
            }
            Some(heard) if access.generation < heard.generation => {}
            heard => *heard = Some(access),
        }
        if sets_cookie {
            let before = std::mem::replace(&mut self.browser.jar, token.clone());
            if before.hash() != token.hash() {
                self.browser.on_disk.push((before, self.now));
            }
        }
        if offers {
            self.begin_registration(scenario, token);
        }
        self.succeed(scenario, Party::Victim)
    }

    /// Refreshes, and returns the answer.
    fn refresh(
        &mut self,
        scenario: &Scenario,
        presented: &Held,
        shown: Option<Key>,
        now: Timestamp,
    ) -> (Judged, Option<Answer>) {
        self.minted += 1;
        let seed = candidate(self.minted);
        let (session, device) = (&mut self.session, &mut self.device);
        let policy = scenario.policy();
        let (judged, token) =
            scenario.rules.refresh(session, device, presented.token(), shown, &seed, now, &policy);
        let token = token.map(|token| {
            if token == *presented.token() { presented.clone() } else { Held::new(token) }
        });
        self.judged = Some((judged, token.clone()));
        let offers = self.device.is_none();
        let answer = token.map(|token| Answer {
            sets_cookie: token.hash() != presented.hash(),
            offers,
            access: Access { generation: token.token().generation(), issued_at: now },
            token,
        });
        (judged, answer)
    }

    fn register(
        &mut self,
        scenario: &Scenario,
        which: usize,
        again: bool,
    ) -> Result<(), Violation> {
        let asked = self.browser.registrations[which].clone();
        let accepted = self.registered(scenario, &asked.presented, &asked.offered, asked.key);
        self.victim_acts(self.now);
        if !again {
            self.browser.registrations[which].accepted = Some(accepted);
        }
        if self.session.revoked.is_some() {
            return self.refused(scenario, Judged::By(Verdict::Theft));
        }
        Ok(())
    }

    fn registered(
        &mut self,
        scenario: &Scenario,
        presented: &Held,
        offered: &Held,
        key: Key,
    ) -> bool {
        let (presented, offered) = (presented.token(), offered.token());
        let (session, device) = (&mut self.session, &mut self.device);
        let policy = scenario.policy();
        scenario.rules.register(session, device, presented, offered, key, self.now, &policy)
    }

    fn register_thief(&mut self, scenario: &Scenario, token: usize) -> Result<(), Violation> {
        let presented = self.thief.tokens[token].0.clone();
        let key = self.new_key();
        self.thief.acted_at = Some(self.now);
        if self.registered(scenario, &presented, &presented, key) {
            (self.thief.key, self.thief.cookie) = (Some(key), Some(key));
        }
        if self.session.revoked.is_some() && scenario.theft == Some(Theft::OnceOver) {
            return Err(Violation::LoggedOut);
        }
        Ok(())
    }

    fn renew(&mut self) {
        let (key, _) = self.browser.key.expect("the step was possible");
        if Rules::renew(self.device, key) {
            self.browser.cookie = Some(key);
        } else {
            // The answer ends the browser's device session. Its bound cookie stays until it expires.
            self.browser.key = None;
        }
    }

    fn die(&mut self, jar: Option<usize>, keeps_key: bool) {
        self.browser.tabs.fill(Tab::Idle);
        for registration in &mut self.browser.registrations {
            registration.awaited = false;
            self.browser.lost = true;
        }
        if let Some(jar) = jar {
            self.browser.jar = self.browser.on_disk[jar].0.clone();
        }
        self.browser.on_disk.clear();
        (self.browser.heard, self.browser.cookie) = (None, None);
        if !keeps_key {
            (self.browser.key, self.browser.lost) = (None, true);
        }
    }

    fn present(&mut self, scenario: &Scenario, token: usize, shows: bool) -> Result<(), Violation> {
        let presented = self.thief.tokens[token].0.clone();
        let cookie = self.thief.cookie.filter(|_| shows);
        let (judged, answer) = self.refresh(scenario, &presented, cookie, self.now);
        self.thief.acted_at = Some(self.now);
        let with_copy = self.thief.key.is_none() && self.thief.cookie.is_some();
        match answer {
            Some(_) if scenario.theft != Some(Theft::Ever) && !with_copy => Err(Violation::GetsIn),
            Some(answer) => {
                self.thief.tokens.push((answer.token, answer.offers));
                self.succeed(scenario, Party::Thief)
            }
            None if self.session.revoked.is_some() => match scenario.theft {
                Some(Theft::OnceOver) => Err(Violation::LoggedOut),
                _ => Ok(()),
            },
            None if judged == Judged::Unbound => Ok(()),
            None => Err(Violation::RefusedYetAlive(judged)),
        }
    }

    /// Judges that the browser was refused.
    fn refused(&mut self, scenario: &Scenario, judged: Judged) -> Result<(), Violation> {
        let key = self.browser.key.map(|(key, _)| key);
        let has = |key| self.device.is_some_and(|device| device.key == key);
        let mut under_way = self.browser.registrations.iter().filter(|asked| asked.awaited);
        let has_key = key.is_some_and(has) || under_way.any(|asked| has(asked.key));
        match judged {
            // The browser has the key, or the reply to its registration is under way. The page tries
            // again, with a renewed bound cookie.
            Judged::Unbound if has_key => Ok(()),
            // The user logs in again.
            Judged::Unbound if self.browser.lost => {
                self.over = true;
                Ok(())
            }
            _ if self.thief.exists() && self.session.revoked.is_some() => match scenario.theft {
                Some(Theft::OnceOver) => Err(Violation::LoggedOut),
                _ => Ok(()),
            },
            _ if self.thief.exists() => Err(Violation::ShutOut(judged)),
            _ => Err(Violation::Refused(judged)),
        }
    }

    fn succeed(&mut self, scenario: &Scenario, party: Party) -> Result<(), Violation> {
        if scenario.theft != Some(Theft::Ever) || !self.thief.exists() {
            return Ok(());
        }
        if self.succeeded.replace(party).is_some_and(|before| before != party) {
            self.switches += 1;
        }
        if self.switches > scenario.most_switches { Err(Violation::BothGoOn) } else { Ok(()) }
    }

    fn victim_acts(&mut self, at: Timestamp) {
        self.victim_acted_at = self.victim_acted_at.max(Some(at));
    }

    /// Drops everything that can no longer make a difference.
    fn tidy(&mut self, scenario: &Scenario) {
        let now = self.now;
        let lag = scenario.disk_lag.map(|lag| TICK * u32::from(lag));
        let kept = |at: Timestamp| lag.is_some_and(|lag| now.since(at) <= lag);
        self.browser.on_disk.retain(|(_, replaced_at)| kept(*replaced_at));
        if scenario.theft != Some(Theft::Ever) {
            (self.victim_acted_at, self.thief.acted_at) = (None, None);
        }
        let mut tokens = Vec::<(u8, (Held, bool))>::new();
        for (token, offered) in std::mem::take(&mut self.thief.tokens) {
            let relation = self.of_token(&token);
            match tokens.iter_mut().find(|(other, _)| *other == relation) {
                Some((_, (_, known))) => *known |= offered,
                None => tokens.push((relation, (token, offered))),
            }
        }
        tokens.sort_by_key(|(relation, _)| *relation);
        self.thief.tokens = tokens.into_iter().map(|(_, token)| token).collect();
    }
}
