//! The view of a state. It makes the number of states finite.

use token_authority::clock::Timestamp;
use token_authority::token::session::{Lineage, Session};

use crate::scenario::{Scenario, TICK};
use crate::system::{Party, System};
use crate::world::{Held, Stray, Tab};

/// Returns the relation of a token to a row. A token that is neither current nor predecessor nor set
/// aside is dead for good. The exception is a token that the database lost: it may have a generation that is
/// still to come.
pub(crate) fn standing(lineage: &Lineage, token: &Held) -> u8 {
    let generation = token.token().generation();
    if generation == lineage.generation && token.hash() == lineage.current {
        0
    } else if generation < lineage.generation && lineage.predecessor == Some(token.hash()) {
        1
    } else if lineage.is_beside(token.token()) {
        2
    } else if lineage.set_aside == Some(token.hash()) {
        3
    } else {
        let ahead = generation.number().saturating_sub(lineage.generation.number());
        4 + u8::try_from(ahead).unwrap()
    }
}

impl System {
    /// Returns the view of a state. Two states with one view have the same futures, up to their
    /// views.
    pub(crate) fn view(&self, scenario: &Scenario) -> Box<[u8]> {
        let view = View { system: self, scenario, rows: self.rows() };
        let mut bytes = view.of_parties();
        for row in &view.rows {
            bytes.extend(view.of_row(row));
        }
        bytes.extend(view.of_token(&self.client.jar));
        for (token, replaced_at) in &self.client.on_disk {
            bytes.push(view.age(Some(*replaced_at)));
            bytes.extend(view.of_token(token));
        }
        bytes.push(u8::MAX);
        let mut strays: Vec<_> = self.client.strays.iter().map(|s| view.of_stray(s)).collect();
        strays.sort_unstable();
        bytes.extend(strays.concat());
        bytes.push(u8::MAX);
        // The tabs are interchangeable.
        let mut tabs: Vec<_> = self.client.tabs.iter().map(|tab| view.of_tab(tab)).collect();
        tabs.sort_unstable();
        for tab in tabs {
            bytes.push(tab.len().try_into().unwrap());
            bytes.extend(tab);
        }
        for token in &self.thief.tokens {
            bytes.extend(view.of_token(token));
        }
        bytes.into()
    }

    /// Returns the row, and the row before its last change if that may come back.
    fn rows(&self) -> Vec<&Session> {
        std::iter::once(&self.session).chain(self.before.as_deref()).collect()
    }
}

struct View<'a> {
    system: &'a System,
    scenario: &'a Scenario,
    rows: Vec<&'a Session>,
}

impl View<'_> {
    fn of_parties(&self) -> Vec<u8> {
        let system = self.system;
        vec![
            u8::from(system.session.revoked.is_some()),
            u8::from(system.commit_lost),
            system.switches,
            system.succeeded.map_or(0, |party| 1 + u8::from(party == Party::Thief)),
            self.age(system.victim_acted_at),
            self.age(system.thief.acted_at),
            self.age(system.proof.as_ref().map(|proof| proof.seen_at)),
        ]
    }

    fn of_row(&self, row: &Session) -> [u8; 6] {
        let Lineage { generation, predecessor, handed_out_at, proven_at, .. } = &row.lineage;
        let is_first = predecessor.is_none() && *handed_out_at <= row.created_at;
        let heard = self.system.client.heard.filter(|heard| heard.generation == *generation);
        let minted_since = self.system.session.lineage.generation.number() - generation.number();
        let proof = self.system.proof.as_ref();
        [
            u8::try_from(minted_since).unwrap(),
            u8::from(is_first),
            self.age(Some(*handed_out_at)),
            self.age(*proven_at),
            self.age(heard.map(|heard| heard.issued_at)),
            u8::from(proof.is_some_and(|proof| proof.generation == *generation)),
        ]
    }

    fn of_tab(&self, tab: &Tab) -> Vec<u8> {
        let mut bytes = vec![self.age(tab.sent_at())];
        match tab {
            Tab::Idle => {}
            Tab::Asked { token, .. } => bytes.extend(self.of_token(token)),
            Tab::Answered { reply, .. } => {
                bytes.push(u8::MAX);
                let rows = self.rows.iter();
                bytes.extend(rows.map(|row| {
                    let access = Some(reply.access);
                    let access = access.filter(|a| a.generation == row.lineage.generation);
                    self.age(access.map(|access| access.issued_at))
                }));
                bytes.extend(reply.cookie.iter().flat_map(|cookie| self.of_token(cookie)));
            }
        }
        bytes
    }

    fn of_stray(&self, stray: &Stray) -> Vec<u8> {
        let left = stray.until.since(self.system.now).as_secs() / TICK.as_secs();
        std::iter::once(u8::try_from(left).unwrap()).chain(self.of_token(&stray.token)).collect()
    }

    fn of_token(&self, token: &Held) -> impl Iterator<Item = u8> {
        self.rows.iter().map(|row| standing(&row.lineage, token))
    }

    /// Returns how long ago a moment was, up to the age beyond which age makes no difference. The
    /// oldest time of a request is one round trip ago, and from then on, all moments more than 2 A
    /// earlier are equivalent.
    ///
    /// The rules compare ages with whole ticks and by "more than", so a part of a tick counts as a
    /// whole one. For example, a first token that is kept at the moment of its login is handed out
    /// a microsecond later.
    fn age(&self, moment: Option<Timestamp>) -> u8 {
        let Some(moment) = moment else { return u8::MAX };
        let Scenario { window, round_trip, clocks_differ, .. } = *self.scenario;
        let oldest = 2 * window + 1 + round_trip;
        let ago = self.system.now.since(moment).as_micros().div_ceil(TICK.as_micros());
        let ahead = moment.since(self.system.now).as_secs() / TICK.as_secs();
        let ago = u8::try_from(ago.min(oldest.into())).unwrap();
        clocks_differ + ago - u8::try_from(ahead).unwrap()
    }
}
