//! A request, its answer, and everything that goes wrong in between.

use std::time::Duration;

use token_authority::authority::RefreshRefusal;
use token_authority::clock::Timestamp;

use super::habits::Kind;
use super::network::fate;
use super::{Device, DeviceClock, Event, Place, Request};
use crate::group::Excess;
use crate::service::{Answer, Call, Service};
use crate::settings::{
    ACCESS_LIFETIME, LATEST_COPY, MAX_LIFETIME, MINUTE, REFRESH_LIFETIME, ROUND_TRIP, SECOND,
    WINDOW,
};
use crate::tally::Cause;
use crate::world::{Database, World};

impl<S: Service> Device<S> {
    /// A page needs an access token.
    pub(super) fn need(&mut self, at: Timestamp, place: Place) {
        if self.is_there(place) && self.tabs[place.tab].needs_at.is_none_or(|needs| at >= needs) {
            self.ask(at, place);
        }
    }

    /// A page asks with the cookie that is in the jar now.
    pub(super) fn ask(&mut self, at: Timestamp, place: Place) {
        if !self.is_there(place) || self.tabs[place.tab].waits_for.is_some() {
            return;
        }
        let Some(cookie) = self.jar.cookie(at).cloned() else {
            self.tally.expired += u64::from(self.jar.has_expired(at));
            return self.plan_login(at, MINUTE);
        };
        if self.is_waiting() {
            self.cause = Cause::TwoTabs;
        }
        self.requests += 1;
        let number = self.requests;
        let tab = &mut self.tabs[place.tab];
        tab.waits_for = Some(number);
        let is_retry = tab.tries > 0;
        self.tally.requests += 1;
        let fate = fate(self.group.excess, &self.dice);
        self.past.note(at, "asks", number, &cookie.token);
        self.queue.add(at + fate.patience, Event::GiveUp(place, number));
        let (answer, copy) = (fate.answer, fate.copy);
        let request =
            Request { number, from: place, cookie, is_retry, is_awaited: true, answer, copy };
        match (fate.request, fate.late) {
            (Some(outward), _) => self.queue.add(at + outward, Event::Arrive(request)),
            (None, Some(late)) if at >= self.stray_until => {
                self.cause = Cause::RequestLost;
                self.stray_until = at + late;
                let request = Request { is_awaited: false, ..request };
                self.queue.add(at + late, Event::Arrive(request));
            }
            (None, _) => self.cause = Cause::RequestLost,
        }
    }

    /// A request arrives, and is decided.
    pub(super) async fn arrive(
        &mut self,
        at: Timestamp,
        request: Request<S::Token>,
        world: &World,
        service: &S,
    ) {
        let replica = self.replica(world);
        let is_dying = world.dying == Some(replica);
        if is_dying {
            self.meet(Cause::ReplicaKilled);
            if self.dice.chance(0.5) {
                return;
            }
        }
        let answer = service.refresh(Call { at, replica }, &request.cookie.token).await;
        self.note_answer(at, request.number, &answer);
        if request.cookie.login == self.login && matches!(answer, Answer::Renewed { .. }) {
            self.renewed_at = at;
            self.thief_sees_victim(at);
        }
        self.copy(at, &request);
        if !request.is_awaited {
            self.tally.copies += 1;
            self.cause = match self.group.excess {
                Excess::LateCopies(_) => Cause::Excess,
                _ => Cause::LateCopy,
            };
            return;
        }
        if matches!(answer, Answer::Unavailable) {
            self.tally.failed += 1;
            match world.database {
                Database::Down => self.meet(Cause::DatabaseDown),
                Database::AnswersLost => self.meet(Cause::CommitAnswerLost),
                Database::Up => self.tally.failed_unplanned += 1,
            }
        }
        match request.answer {
            Some(back) if !is_dying => self.queue.add(at + back, Event::Land(request, answer)),
            Some(_) => {}
            None => self.cause = Cause::AnswerLost,
        }
    }

    fn note_answer(&mut self, at: Timestamp, number: u64, answer: &Answer<S::Token, S::Access>) {
        match answer {
            Answer::Renewed { token, stores: true, .. } => {
                self.past.note(at, "is answered with", number, token);
            }
            Answer::Renewed { token, stores: false, .. } => {
                self.past.note(at, "is answered without a cookie", number, token);
            }
            Answer::Refused(_) => self.past.note(at, "is refused", number, ()),
            Answer::Unavailable => self.past.note(at, "is not answered", number, ()),
        }
    }

    /// Sends a copy of a request, as a proxy does. There is one at a time.
    fn copy(&mut self, at: Timestamp, request: &Request<S::Token>) {
        let Some(delay) = request.copy.filter(|_| request.is_awaited && at >= self.stray_until)
        else {
            return;
        };
        self.stray_until = at + delay;
        if self.lost_in == Some(request.from.life) {
            self.excused = Some(self.login);
        }
        let copy = Request { is_awaited: false, copy: None, ..request.clone() };
        self.queue.add(at + delay, Event::Arrive(copy));
    }

    fn meet(&mut self, fault: Cause) {
        self.cause = fault;
        *self.tally.met.entry(fault).or_default() += 1;
    }

    /// A page gives up, and tries again after a pause.
    pub(super) fn give_up(&mut self, at: Timestamp, place: Place, request: u64) {
        if self.is_there(place) && self.tabs[place.tab].waits_for == Some(request) {
            self.tabs[place.tab].waits_for = None;
            self.try_again(at, place);
        }
    }

    fn try_again(&mut self, at: Timestamp, place: Place) {
        let tab = &mut self.tabs[place.tab];
        tab.tries += 1;
        let pause = SECOND * (1 << tab.tries.min(6));
        self.after(at, pause, Event::Ask(place));
    }

    /// An answer arrives.
    pub(super) fn land(
        &mut self,
        at: Timestamp,
        request: Request<S::Token>,
        answer: Answer<S::Token, S::Access>,
    ) {
        let place = request.from;
        // Answers to a former login would meet a page that has just logged in, or none.
        if place.life != self.life || request.cookie.login != self.login || self.is_login_due {
            if request.cookie.login != self.login && matches!(answer, Answer::Refused(_)) {
                self.refused_former(at, &request);
            }
            return;
        }
        if !self.is_awake {
            if self.group.excess == Excess::AnswerAfterSleep {
                self.held.push((request, answer));
            }
            return;
        }
        self.past.note(at, "lands", request.number, ());
        if !self.is_there(place) || self.tabs[place.tab].waits_for != Some(request.number) {
            return self.land_nowhere(at, answer);
        }
        self.tabs[place.tab].waits_for = None;
        match answer {
            Answer::Unavailable => self.try_again(at, place),
            Answer::Refused(why) => self.refused(at, why),
            Answer::Renewed { token, stores, access, expires_in } => {
                self.tally.renewed += 1;
                self.tally.retried += u64::from(request.is_retry);
                if !stores || self.drops_cookie() {
                    self.renewed(at, place, access, expires_in);
                } else {
                    self.store(at, token);
                    if !self.is_waiting() && self.group.excess == Excess::None {
                        self.cause = Cause::Nothing;
                    }
                    self.renewed(at, place, access, expires_in);
                    self.maybe_die_soon(at);
                }
            }
        }
    }

    /// An answer arrives whose page is gone, or no longer waits. A browser may store its cookie or not.
    fn land_nowhere(&mut self, at: Timestamp, answer: Answer<S::Token, S::Access>) {
        let is_after_sleep = self.group.excess == Excess::AnswerAfterSleep;
        if let Answer::Renewed { token, stores: true, .. } = answer
            && self.is_up
            && (is_after_sleep || self.dice.chance(0.5))
        {
            if is_after_sleep {
                self.cause = Cause::Excess;
            }
            self.store(at, token);
        }
    }

    /// A server that renders pages may drop the cookie.
    fn drops_cookie(&mut self) -> bool {
        let Excess::DropsCookies(percent) = self.group.excess else { return false };
        let drops = self.dice.chance(f64::from(percent) / 100.0);
        if drops {
            self.cause = Cause::Excess;
        }
        drops
    }

    /// A page has a new access token.
    fn renewed(&mut self, at: Timestamp, place: Place, access: S::Access, expires_in: Duration) {
        let before_end = expires_in.saturating_sub(MINUTE).min(ACCESS_LIFETIME);
        // A page that compares the token's `exp` with its own clock comes early or late.
        let needs_at = match self.clock {
            DeviceClock::Ahead(off) => at + before_end.saturating_sub(off),
            DeviceClock::Behind(off) => at + before_end + off,
        };
        let tab = &mut self.tabs[place.tab];
        (tab.tries, tab.needs_at) = (0, Some(needs_at));
        if tab.polls {
            self.after(needs_at, MINUTE, Event::Need(place));
        }
        if !self.settings.backends_ask {
            return;
        }
        let until = at + expires_in;
        if self.dice.chance(0.3) {
            self.after(at, SECOND * 10, Event::Use(access.clone(), self.login, self.life, until));
        }
        if self.dice.chance(0.7) {
            let later = self.dice.between(MINUTE, MINUTE * 25);
            self.queue.add(at + later, Event::Use(access, self.login, self.life, until));
        }
    }

    /// A page uses an access token at a backend.
    pub(super) async fn use_token(
        &mut self,
        at: Timestamp,
        access: &S::Access,
        world: &World,
        service: &S,
    ) {
        let call = Call { at, replica: self.replica(world) };
        let is_refused = !service.use_token(call, access).await;
        self.past.note(at, "used", call.replica as u64, access);
        let counts = self.group.excess == Excess::None && !self.group.has_thieves;
        self.tally.access_refused += u64::from(is_refused && counts && !self.is_login_due);
    }

    /// Some browsers die just after they got a cookie: an update, a battery, a machine that reboots.
    fn maybe_die_soon(&mut self, at: Timestamp) {
        let likely = if matches!(self.group.excess, Excess::LateJar(_)) { 0.03 } else { 0.005 };
        if self.kind == Kind::Browser && self.dice.chance(likely) {
            let longest = self.jar_lag() + SECOND * 10;
            let crash = Event::Crash(self.life);
            self.after(at, longest, crash);
        }
    }

    /// The token of a former login was refused: the browser died before the new login was written.
    fn refused_former(&mut self, at: Timestamp, request: &Request<S::Token>) {
        let place = request.from;
        if !self.is_there(place) || self.tabs[place.tab].waits_for != Some(request.number) {
            return;
        }
        self.tabs[place.tab].waits_for = None;
        self.tally.logins_lost += 1;
        self.end_login(at, MINUTE);
    }

    /// The service ended the client's session. Says whether it was right to do so.
    fn refused(&mut self, at: Timestamp, why: RefreshRefusal) {
        // The clocks of the replicas differ, and a young token is not extended within A.
        let slack = WINDOW + LATEST_COPY + ROUND_TRIP;
        let has_expired = at + slack >= self.renewed_at + REFRESH_LIFETIME
            || at + slack >= self.logged_in_at + MAX_LIFETIME;
        if why == RefreshRefusal::Expired && has_expired {
            self.tally.expired += 1;
        } else if self.thief_is_seen(at) {
            self.tally.victims_out += 1;
        } else if self.excused == Some(self.login) {
            self.tally.lost_more_out += 1;
        } else {
            if self.group.excess == Excess::None && self.tally.story.is_none() {
                self.tally.story = Some(self.past.tell());
            }
            *self.tally.wrong_logouts.entry(self.cause).or_default() += 1;
            *self.tally.reasons.entry(why.as_str()).or_default() += 1;
        }
        self.end_login(at, MINUTE * 2);
    }
}
