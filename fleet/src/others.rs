//! The rules of others, in memory. Each is a common answer to the question what a service does with a
//! refresh token that was exchanged before (`docs/adr/0001-rotation.md`, context).

use std::cell::RefCell;
use std::collections::HashMap;

use token_authority::authority::RefreshRefusal;
use token_authority::clock::Timestamp;

use crate::service::{Answer, Call, Service};
use crate::settings::{ACCESS_LIFETIME, MAX_LIFETIME, REFRESH_LIFETIME, WINDOW};
use crate::skew::skew_of;
use crate::world::{Database, Turn};

/// A rule for refresh tokens that were exchanged before. Where a rule finds a theft, it ends the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// They are a theft: RFC 9700 section 4.14.2, taken literally.
    NoGrace,
    /// The previous one returns its successor within A of the rotation. Everything else is a theft.
    GraceByTime,
    /// The previous one returns its successor as long as it is the previous one. Everything else is a
    /// theft.
    PreviousIsGood,
    /// Within A of its first use, a token returns a new sibling with each use. All siblings are good. A
    /// later use is a theft.
    NewSiblings,
}

/// A refresh token: its session and its number in the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Token {
    session: usize,
    number: usize,
}

/// A refresh token as the service remembers it.
#[derive(Debug, Clone, Copy)]
struct Issued {
    parent: Option<usize>,
    used_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Session {
    issued: Vec<Issued>,
    created_at: Timestamp,
    expires_at: Timestamp,
    is_revoked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Token(usize),
    Theft,
}

impl Session {
    fn opened(at: Timestamp) -> Self {
        let first = Issued { parent: None, used_at: None };
        Self {
            issued: vec![first],
            created_at: at,
            expires_at: at + REFRESH_LIFETIME,
            is_revoked: false,
        }
    }

    fn exchange(&mut self, number: usize, at: Timestamp) -> Outcome {
        self.issued[number].used_at.get_or_insert(at);
        self.issued.push(Issued { parent: Some(number), used_at: None });
        self.expires_at = (at + REFRESH_LIFETIME).min(self.created_at + MAX_LIFETIME);
        Outcome::Token(self.issued.len() - 1)
    }

    fn present(&mut self, rule: Rule, number: usize, at: Timestamp) -> Outcome {
        let Some(used_at) = self.issued[number].used_at else { return self.exchange(number, at) };
        let is_recent = at.since(used_at) <= WINDOW;
        let last = self.issued.len() - 1;
        let is_previous = self.issued[last].parent == Some(number);
        match rule {
            Rule::GraceByTime if is_previous && is_recent => Outcome::Token(last),
            Rule::PreviousIsGood if is_previous => Outcome::Token(last),
            Rule::NewSiblings if is_recent => self.exchange(number, at),
            _ => Outcome::Theft,
        }
    }
}

/// A service with one of these rules.
#[derive(Debug)]
pub(crate) struct Others {
    rule: Rule,
    database: Database,
    sessions: RefCell<Vec<Session>>,
    /// The sessions as they were before commits that the failover will lose, by the replicas' pair.
    before: RefCell<HashMap<u64, HashMap<usize, Session>>>,
}

impl Others {
    pub(crate) fn new(rule: Rule) -> Self {
        Self {
            rule,
            database: Database::Up,
            sessions: RefCell::default(),
            before: RefCell::default(),
        }
    }

    /// Returns the time that the replica's clock shows.
    fn now(call: Call) -> Timestamp {
        skew_of(call.replica).shown(call.at)
    }

    fn remember(&self, call: Call, session: usize, state: &Session) {
        let Some(seconds) = crate::group::lost_commits(call.replica) else { return };
        if let Some(before) = self.before.borrow_mut().get_mut(&seconds) {
            before.entry(session).or_insert_with(|| state.clone());
        }
    }

    /// Returns the answer, unless the database loses it.
    fn answer<T>(&self, answer: T, unavailable: T) -> T {
        if self.database == Database::Up { answer } else { unavailable }
    }

    fn judge(&self, call: Call, token: Token) -> Answer<Token, ()> {
        let now = Self::now(call);
        let mut sessions = self.sessions.borrow_mut();
        let session = &mut sessions[token.session];
        if token.number >= session.issued.len() {
            return Answer::Refused(RefreshRefusal::Invalid);
        }
        if session.is_revoked {
            return Answer::Refused(RefreshRefusal::Revoked);
        }
        if now >= session.expires_at {
            return Answer::Refused(RefreshRefusal::Expired);
        }
        self.remember(call, token.session, session);
        match session.present(self.rule, token.number, now) {
            Outcome::Theft => {
                session.is_revoked = true;
                Answer::Refused(RefreshRefusal::Reused)
            }
            Outcome::Token(number) => Answer::Renewed {
                token: Token { session: token.session, number },
                stores: true,
                access: (),
                expires_in: ACCESS_LIFETIME,
            },
        }
    }
}

impl Service for Others {
    type Token = Token;
    type Access = ();

    async fn log_in(&self, call: Call, _user: u32) -> Option<Token> {
        if self.database != Database::Up {
            return None;
        }
        let mut sessions = self.sessions.borrow_mut();
        sessions.push(Session::opened(Self::now(call)));
        Some(Token { session: sessions.len() - 1, number: 0 })
    }

    async fn refresh(&self, call: Call, token: &Token) -> Answer<Token, ()> {
        if self.database == Database::Down {
            return Answer::Unavailable;
        }
        let answer = self.judge(call, *token);
        self.answer(answer, Answer::Unavailable)
    }

    async fn use_token(&self, _call: Call, (): &()) -> bool {
        true
    }

    async fn log_out(&self, _call: Call, token: &Token) {
        self.sessions.borrow_mut()[token.session].is_revoked = true;
    }

    async fn turn(&mut self, _at: Timestamp, turn: Turn) {
        match turn {
            Turn::Database(database) => self.database = database,
            Turn::Remember(seconds) => {
                self.before.get_mut().insert(seconds, HashMap::new());
            }
            Turn::Forget(seconds) => {
                let before = self.before.get_mut().remove(&seconds).unwrap_or_default();
                for (at, session) in before {
                    self.sessions.get_mut()[at] = session;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::settings::START;

    /// Presents tokens of a session at some seconds, by their numbers.
    fn play(rule: Rule, presented: &[(usize, u64)]) -> Vec<Outcome> {
        let mut session = Session::opened(START);
        let at = |seconds| START + Duration::from_secs(seconds);
        presented
            .iter()
            .map(|(number, seconds)| session.present(rule, *number, at(*seconds)))
            .collect()
    }

    #[test]
    fn each_rule_judges_as_its_name_says() {
        use Outcome::{Theft, Token};
        assert_eq!(play(Rule::NoGrace, &[(0, 0), (0, 1)]), [Token(1), Theft]);
        let retried = [(0, 0), (0, 30), (0, 31)];
        assert_eq!(play(Rule::GraceByTime, &retried), [Token(1), Token(1), Theft]);
        let late = [(0, 0), (0, 9999), (1, 10_000), (1, 20_000), (0, 20_001)];
        let expected = [Token(1), Token(1), Token(2), Token(2), Theft];
        assert_eq!(play(Rule::PreviousIsGood, &late), expected);
        let siblings = [(0, 0), (0, 30), (1, 500), (2, 9000), (0, 31)];
        assert_eq!(
            play(Rule::NewSiblings, &siblings),
            [Token(1), Token(2), Token(3), Token(4), Theft]
        );
    }
}
