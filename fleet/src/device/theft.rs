//! A thief who copies the cookie once, and keeps every token that it gets.

use std::time::Duration;

use token_authority::authority::RefreshRefusal;
use token_authority::clock::Timestamp;

use super::{Device, Event};
use crate::service::{Answer, Call, Service};
use crate::settings::{DAY, HOUR, MINUTE, SECOND, START, WINDOW};
use crate::world::World;

/// When a thief comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Habit {
    /// Within a minute of the copy, before the victim, and then every half an hour.
    AtOnce,
    /// Two to fifteen minutes after each refresh of the victim.
    Alternating,
    /// In the night after the copy, and then every half an hour.
    NightLater,
    /// A day later, from a backup, and then every half an hour.
    FromBackup,
    /// 35 to 100 seconds after each refresh of the victim.
    CloseBehind,
    /// Within A of each refresh of the victim: the documents say that it is not found.
    Together,
}

impl Habit {
    pub(crate) const ALL: [Self; 6] = [
        Self::AtOnce,
        Self::Alternating,
        Self::NightLater,
        Self::FromBackup,
        Self::CloseBehind,
        Self::Together,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AtOnce => "at once, then every half an hour",
            Self::Alternating => "2 to 15 min after each refresh",
            Self::NightLater => "a night later, then every half an hour",
            Self::FromBackup => "from a backup, a day later",
            Self::CloseBehind => "35 to 100 s after each refresh",
            Self::Together => "within A of each refresh",
        }
    }

    /// Returns when such a thief comes after a refresh of the victim. `None`: it does not wait for one.
    const fn after_victim(self) -> Option<(Duration, Duration)> {
        match self {
            Self::Alternating => Some((Duration::from_mins(2), Duration::from_mins(15))),
            Self::CloseBehind => Some((Duration::from_secs(35), Duration::from_secs(100))),
            Self::Together => Some((Duration::ZERO, Duration::from_secs(28))),
            Self::AtOnce | Self::NightLater | Self::FromBackup => None,
        }
    }
}

/// How a theft ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It has not ended.
    Open,
    /// The session was revoked because of it.
    Found(Timestamp),
    /// The session ended for another reason: a logout, its lifetime.
    Other,
}

/// A thief.
#[derive(Debug, Clone)]
pub(crate) struct Thief<T> {
    pub(crate) habit: Habit,
    token: Option<T>,
    login: u32,
    copies: u32,
    is_coming: bool,
    /// When it presented a token for the first time.
    pub(crate) first_at: Option<Timestamp>,
    /// When it was answered with a token for the last time.
    last_success: Option<Timestamp>,
    victim_at: Option<Timestamp>,
    /// How many refreshes it got.
    pub(crate) got: u32,
    /// How often the victim was answered after the thief's first success, more than A from any success of
    /// the thief.
    pub(crate) victim_came: u32,
    pub(crate) end: End,
}

impl<T> Thief<T> {
    pub(super) fn new(number: u32) -> Self {
        Self {
            habit: Habit::ALL[number as usize % Habit::ALL.len()],
            token: None,
            login: 0,
            copies: 0,
            is_coming: false,
            first_at: None,
            last_success: None,
            victim_at: None,
            got: 0,
            victim_came: 0,
            end: End::Open,
        }
    }
}

impl<S: Service> Device<S> {
    /// The thief copies the cookie while its victim is at work.
    pub(super) fn thief_copies(&mut self, at: Timestamp) {
        let cookie = self.jar.cookie(at).filter(|_| self.is_awake && self.is_up).cloned();
        let (Some(thief), Some(cookie)) = (&mut self.thief, cookie) else {
            self.queue.add(at + MINUTE * 17, Event::ThiefCopies);
            return;
        };
        if self.is_login_due {
            self.queue.add(at + MINUTE * 17, Event::ThiefCopies);
            return;
        }
        (thief.token, thief.login) = (Some(cookie.token), cookie.login);
        thief.copies += 1;
        let first = match thief.habit {
            Habit::AtOnce => Some(self.dice.between(SECOND, MINUTE)),
            Habit::NightLater => {
                let today = at.since(START).as_secs() % DAY.as_secs();
                let night = DAY.saturating_sub(Duration::from_secs(today));
                Some(night + self.dice.between(HOUR, HOUR * 5))
            }
            Habit::FromBackup => Some(self.dice.between(HOUR * 20, HOUR * 30)),
            Habit::Alternating | Habit::CloseBehind | Habit::Together => None,
        };
        if let Some(first) = first {
            self.queue.add(at + first, Event::ThiefActs(thief.copies));
        }
    }

    /// The thief learns that its victim was answered.
    pub(super) fn thief_sees_victim(&mut self, at: Timestamp) {
        let Some(thief) = &mut self.thief else { return };
        if thief.token.is_none() || thief.login != self.login || thief.end != End::Open {
            return;
        }
        thief.victim_at = Some(at);
        let is_apart = thief.last_success.is_some_and(|last| at.since(last) > WINDOW);
        thief.victim_came += u32::from(is_apart);
        if let Some((from, to)) = thief.habit.after_victim()
            && !thief.is_coming
        {
            thief.is_coming = true;
            let delay = self.dice.between(from, to);
            self.queue.add(at + delay, Event::ThiefActs(thief.copies));
        }
    }

    /// The thief presents the newest token that it has.
    pub(super) async fn thief_acts(
        &mut self,
        at: Timestamp,
        copy: u32,
        world: &World,
        service: &S,
    ) {
        let replica = self.replica(world);
        let Some(thief) = &mut self.thief else { return };
        let Some(token) = thief.token.clone() else { return };
        if thief.end != End::Open || copy != thief.copies {
            return;
        }
        thief.is_coming = false;
        let answer = service.refresh(Call { at, replica }, &token).await;
        match answer {
            Answer::Unavailable => self.queue.add(at + MINUTE, Event::ThiefActs(copy)),
            Answer::Refused(RefreshRefusal::Reused | RefreshRefusal::Revoked) => {
                thief.first_at.get_or_insert(at);
                thief.end = End::Found(at);
            }
            Answer::Refused(_) => {
                thief.first_at.get_or_insert(at);
                thief.end = End::Other;
            }
            Answer::Renewed { token, .. } => {
                thief.first_at.get_or_insert(at);
                thief.last_success = Some(at);
                thief.token = Some(token);
                thief.got += 1;
                if thief.habit.after_victim().is_none() {
                    self.queue.add(at + MINUTE * 30, Event::ThiefActs(copy));
                }
            }
        }
    }

    /// The victim is refused. Returns whether a thief is the reason.
    pub(super) fn thief_is_seen(&mut self, at: Timestamp) -> bool {
        let login = self.login;
        let Some(thief) = self.thief.as_mut().filter(|thief| thief.login == login) else {
            return false;
        };
        // A thief who has not come yet is no reason.
        if thief.first_at.is_some() && thief.end == End::Open {
            thief.end = End::Found(at);
        }
        matches!(thief.end, End::Found(_))
    }

    /// The session ends for another reason. A thief who has come is over, and another one copies again.
    pub(super) fn thief_ends(&mut self) {
        let Some(thief) = &mut self.thief else { return };
        if thief.token.is_none() || thief.end != End::Open {
            return;
        }
        if thief.first_at.is_some() {
            thief.end = End::Other;
            return;
        }
        thief.token = None;
        thief.is_coming = false;
        if let Some(next) = self.queue.first() {
            self.queue.add(next + MINUTE, Event::ThiefCopies);
        }
    }
}
