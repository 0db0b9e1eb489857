//! The device wakes, sleeps and dies, and its user acts.

use std::time::Duration;

use token_authority::clock::Timestamp;

use super::habits::{Action, Kind, MAX_TABS};
use super::jar::Cookie;
use super::{Device, Event, Place, Tab};
use crate::group::Excess;
use crate::service::{Call, Service};
use crate::settings::{DAY, HOUR, MINUTE, SECOND};
use crate::tally::Cause;
use crate::world::World;

impl<S: Service> Device<S> {
    /// Plans a day. Once in fifty weeks a user stays away for more than a week.
    pub(super) fn begin_day(&mut self, at: Timestamp, day: u32) {
        let away = if self.dice.chance(0.003) { 8 + self.dice.below(7) as u32 } else { 0 };
        self.queue.add(at + DAY * (1 + away), Event::Day(day + 1 + away));
        if away > 0 {
            return;
        }
        for (from, to) in self.kind.blocks(day, &self.dice) {
            self.queue.add(at + from, Event::Wake);
            self.queue.add(at + to, Event::Sleep);
        }
    }

    pub(super) fn wake(&mut self, at: Timestamp) {
        (self.is_awake, self.is_up) = (true, true);
        self.past.note(at, "wakes", 0, ());
        self.wakes += 1;
        for (request, answer) in std::mem::take(&mut self.held) {
            self.after(at, SECOND * 2, Event::Land(request, answer));
        }
        if self.is_login_due {
            self.after(at, MINUTE, Event::LogIn);
        } else {
            for tab in 0..self.tabs.len() {
                if tab == 0 || self.dice.chance(0.6) {
                    let need = Event::Need(self.place(tab));
                    self.after(at, SECOND * 2, need);
                }
            }
        }
        let gap = self.dice.gap(self.kind.pace());
        self.queue.add(at + gap, Event::Act(self.wakes));
    }

    pub(super) fn fall_asleep(&mut self, at: Timestamp) {
        if self.group.excess == Excess::AnswerAfterSleep && self.dice.chance(0.5) {
            self.ask(at, self.place(0));
        }
        self.is_awake = false;
        self.past.note(at, "sleeps", 0, ());
        if self.is_waiting() {
            self.cause = Cause::Asleep;
        }
        for tab in &mut self.tabs {
            tab.waits_for = None;
        }
    }

    pub(super) async fn act(&mut self, at: Timestamp, wake: u32, world: &World, service: &S) {
        if !self.is_awake || wake != self.wakes {
            return;
        }
        let gap = self.dice.gap(self.kind.pace());
        self.queue.add(at + gap, Event::Act(wake));
        if !self.is_up {
            return;
        }
        let tab = self.dice.below(self.tabs.len());
        match self.kind.action(&self.dice) {
            Action::Reload => self.load(at, tab, SECOND / 10),
            Action::OpenTab => self.open_tab(at),
            Action::CloseTab if self.tabs.iter().filter(|tab| tab.is_open).count() > 1 => {
                self.leave(tab);
                // The first tab stays, so that somebody polls.
                self.tabs[tab].is_open = tab == 0;
                self.tabs[0].is_open = true;
            }
            Action::GoBackLater => self.go_back_later(at, tab),
            Action::RestartBrowser => {
                self.jar.write();
                self.begin_anew(at, SECOND * 5);
            }
            Action::Crash => self.crash(at, self.life),
            Action::LogOut => self.log_out(at, world, service).await,
            Action::CloseTab | Action::Work => self.need(at, self.place(tab)),
        }
    }

    /// Opens a tab, in the place of one that was closed if there is one.
    fn open_tab(&mut self, at: Timestamp) {
        let closed = self.tabs.iter().position(|tab| !tab.is_open);
        let tab = closed.unwrap_or(self.tabs.len());
        if tab == MAX_TABS {
            return;
        }
        if tab == self.tabs.len() {
            let polls = self.dice.chance(0.4);
            self.tabs.push(Tab { polls, ..Tab::default() });
        }
        self.load(at, tab, SECOND / 10);
    }

    /// Loads a page in a tab. The page before it is gone, with its request.
    fn load(&mut self, at: Timestamp, tab: usize, within: Duration) {
        self.leave(tab);
        self.tabs[tab].is_open = true;
        self.tabs[tab].is_shown = true;
        let ask = Event::Ask(self.place(tab));
        self.after(at, within, ask);
    }

    /// Leaves a page.
    fn leave(&mut self, tab: usize) {
        let tab = &mut self.tabs[tab];
        if tab.waits_for.take().is_some() {
            self.cause = Cause::PageLeft;
        }
        tab.page += 1;
        (tab.tries, tab.needs_at) = (0, None);
    }

    /// Leaves a page that the browser keeps in its back/forward cache, as it is. A browser keeps no page
    /// that waits for an answer.
    fn go_back_later(&mut self, at: Timestamp, tab: usize) {
        if self.tabs[tab].waits_for.is_some() {
            return self.load(at, tab, SECOND);
        }
        self.tabs[tab].is_shown = false;
        let thaw = Event::Thaw(self.place(tab));
        self.after(at, HOUR, thaw);
    }

    pub(super) fn thaw(&mut self, at: Timestamp, place: Place) {
        self.tabs[place.tab].is_shown = true;
        self.need(at, place);
    }

    /// Starts the browser with all tabs that were open.
    fn begin_anew(&mut self, at: Timestamp, within: Duration) {
        self.life += 1;
        // A change that is not on disk yet is written later, as before.
        self.queue.add(at + self.jar_lag(), Event::Write(self.life));
        let begins = at + self.dice.between(SECOND, within);
        for tab in 0..self.tabs.len() {
            if self.tabs[tab].is_open {
                self.load(begins, tab, SECOND / 2);
            }
        }
    }

    /// The browser or the device dies: what is not on disk is lost, and every request goes on alone.
    pub(super) fn crash(&mut self, at: Timestamp, life: u32) {
        if life != self.life || !self.is_up {
            return;
        }
        self.is_up = false;
        self.life += 1;
        self.cause = Cause::Crash;
        for tab in &mut self.tabs {
            tab.page += 1;
            (tab.waits_for, tab.needs_at, tab.tries) = (None, None, 0);
        }
        let lost = self.jar.die();
        self.past.note(at, "crash, lost", u64::from(lost), ());
        if matches!(self.group.excess, Excess::LateJar(_)) {
            self.cause = Cause::Excess;
        } else if lost > 0 {
            self.lost_in = Some(life);
            // Another refresh, or a copy of one, may rotate the token that was lost.
            if lost > 1 || at < self.stray_until {
                self.tally.lost_more += 1;
                self.excused = Some(self.login);
            }
        }
        let reopen = Event::Reopen(self.life);
        self.after(at, MINUTE * 10, reopen);
    }

    pub(super) fn reopen(&mut self, at: Timestamp, life: u32) {
        if life != self.life {
            return;
        }
        self.is_up = true;
        if self.is_awake {
            self.begin_anew(at, SECOND * 2);
        }
    }

    /// Makes a backup of the profile, which is restored later.
    pub(super) fn back_up(&mut self, at: Timestamp) {
        let Excess::Restored(age) = self.group.excess else { return };
        self.queue.add(at + DAY * 3, Event::Backup);
        if let Some(cookie) = self.jar.cookie(at).cloned() {
            self.queue.add(at + age, Event::Restore(cookie));
        }
    }

    pub(super) fn restore(&mut self, at: Timestamp, cookie: Cookie<S::Token>) {
        if cookie.login != self.login || self.is_login_due {
            return;
        }
        self.cause = Cause::Excess;
        self.put(at, Some(cookie));
        self.jar.write();
        self.life += 1;
        if self.is_awake {
            self.begin_anew(at, SECOND * 10);
        }
    }

    async fn log_out(&mut self, at: Timestamp, world: &World, service: &S) {
        let Some(cookie) = self.jar.cookie(at).cloned() else { return };
        let call = Call { at, replica: self.replica(world) };
        service.log_out(call, &cookie.token).await;
        self.end_login(at, MINUTE * 5);
    }

    /// Ends the login on the device. The user logs in again a while later.
    pub(super) fn end_login(&mut self, at: Timestamp, within: Duration) {
        self.put(at, None);
        self.plan_login(at, within);
        self.thief_ends();
    }

    pub(super) fn plan_login(&mut self, at: Timestamp, within: Duration) {
        if !self.is_login_due {
            self.is_login_due = true;
            self.after(at, within, Event::LogIn);
        }
    }

    pub(super) async fn log_in(&mut self, at: Timestamp, world: &World, service: &S) {
        if !self.is_awake || !self.is_up || !self.is_login_due {
            return;
        }
        let replica = self.replica(world);
        let token = match world.dying {
            Some(dying) if dying == replica => None,
            _ => service.log_in(Call { at, replica }, self.user).await,
        };
        let Some(token) = token else {
            self.queue.add(at + SECOND * 30, Event::LogIn);
            return;
        };
        self.is_login_due = false;
        self.login += 1;
        (self.logged_in_at, self.renewed_at) = (at, at);
        self.cause = Cause::Nothing;
        self.tally.logins += 1;
        self.store(at, token);
        if self.group.excess == Excess::LoginTwice
            && let Some(cookie) = self.jar.cookie(at).cloned()
        {
            self.after(at, SECOND * 15, Event::SetAgain(cookie));
        }
        for tab in 0..self.tabs.len() {
            if tab == 0 || self.tabs[tab].is_open && self.dice.chance(0.5) {
                self.load(at, tab, SECOND * 5);
            }
        }
        if self.kind == Kind::Phone {
            self.jar.write();
        }
    }

    pub(super) fn set_again(&mut self, at: Timestamp, cookie: Cookie<S::Token>) {
        if cookie.login == self.login && !self.is_login_due {
            self.cause = Cause::Excess;
            self.put(at, Some(cookie));
        }
    }
}
