//! Chooses which of several refresh tokens in one request is presented.

use std::cmp::Reverse;

use crate::authority::Examined;
use crate::token::id::SessionId;
use crate::token::refresh::RefreshToken;

/// How many refresh tokens of one request are examined. Each costs a look-up in the database.
pub(super) const MAX_LOOKED_AT: usize = 4;

/// The choice, as positions among the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    /// The token to present.
    pub(super) chosen: usize,
    /// The state of the other tokens.
    pub(super) others: Others,
    /// Whether the tokens belong to live sessions of different users.
    pub(super) mixes_users: bool,
}

/// The state of the other refresh cookies of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// There are none.
    None,
    /// Useless: their sessions have ended, or they are older copies of the chosen token.
    Over,
    /// Unknown here. They may belong to another installation.
    Foreign,
    /// At least one belongs to another live session.
    Alive,
}

/// Keeps the few tokens that are examined: first those of the wanted session, then those of the
/// newest logins. A session's id contains the time of the login.
pub(super) fn shortlist(
    tokens: &mut Vec<(String, RefreshToken)>,
    wanted: Option<SessionId>,
) -> bool {
    if tokens.len() <= MAX_LOOKED_AT {
        return false;
    }
    tokens.sort_by_key(|(_, token)| {
        let id = token.session_id();
        (Some(id) != wanted, Reverse((id, token.generation())))
    });
    tokens.truncate(MAX_LOOKED_AT);
    true
}

/// Chooses the token that serves the user best.
///
/// 1. A live token of the session that the page names, in its newest generation.
/// 2. A live token of the same user, of the newest login.
/// 3. If the page's session has ended and only sessions of other users are live: the page's own
///    token. The page learns that it is logged out, and does not act as another user.
/// 4. A live token of the newest login.
/// 5. If no token is live: the token of the newest login, so that its user learns why the session
///    ended.
///
/// An older copy of a token is never presented beside its successor, because that would look like a
/// theft. `examined` must not be empty.
pub(super) fn choose(examined: &[Examined], wanted: Option<SessionId>) -> Choice {
    let named = examined.iter().find(|one| wanted.is_some() && one.session_id() == wanted);
    let user_of = |one: &Examined| one.login.as_ref().map(|login| login.user_id.clone());
    let page_user = named.and_then(user_of);
    let newest = |is_eligible: &dyn Fn(&Examined) -> bool| {
        let eligible = examined.iter().enumerate().filter(|(_, one)| is_eligible(one));
        eligible.max_by_key(|(_, one)| age(one)).map(|(at, _)| at)
    };
    let of_session = |one: &Examined| one.is_granted() && one.session_id() == wanted;
    let of_user = |one: &Examined| one.is_granted() && user_of(one) == page_user;
    let own_but_over = |one: &Examined| one.is_over() && one.session_id() == wanted;
    let chosen = wanted
        .and_then(|_| newest(&of_session))
        .or_else(|| page_user.as_ref().and_then(|_| newest(&of_user)))
        .or_else(|| wanted.and_then(|_| newest(&own_but_over)))
        .or_else(|| newest(&Examined::is_granted))
        .or_else(|| newest(&|one| one.login.is_some()))
        .unwrap_or(0);
    Choice { chosen, others: others(examined, chosen), mixes_users: mixes_users(examined) }
}

/// Orders tokens by login, then by generation. Tokens of other installations come first.
fn age(one: &Examined) -> impl Ord + use<> {
    (one.login.as_ref().map(|login| (login.at, login.session_id)), one.generation)
}

fn others(examined: &[Examined], chosen: usize) -> Others {
    let Some(best) = examined.get(chosen) else { return Others::None };
    let rest = examined.iter().enumerate().filter(|(at, _)| *at != chosen).map(|(_, one)| one);
    let worth = rest.map(|one| {
        let is_same = one.session_id().is_some() && one.session_id() == best.session_id();
        if one.login.is_none() {
            Others::Foreign
        } else if one.is_over() || (is_same && one.generation < best.generation) {
            Others::Over
        } else {
            Others::Alive
        }
    });
    worth.fold(Others::None, |all, one| match (all, one) {
        (Others::Alive, _) | (_, Others::Alive) => Others::Alive,
        (Others::Foreign, _) | (_, Others::Foreign) => Others::Foreign,
        _ => Others::Over,
    })
}

fn mixes_users(examined: &[Examined]) -> bool {
    let live = examined.iter().filter(|one| one.is_granted());
    let mut users = live.filter_map(|one| one.login.as_ref()).map(|login| &login.user_id);
    users.next().is_some_and(|first| users.any(|other| other != first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Login;
    use crate::clock::Timestamp;
    use crate::token::id::{Generation, UserId};
    use crate::token::refresh::LineageKey;
    use crate::token::rotation::Verdict;

    fn id(of: u8) -> SessionId {
        SessionId::new(Timestamp::from_seconds(i64::from(of)), [of; 10])
    }

    /// A token of the session that began in that second.
    fn token(session: u8, user: &str, generation: u32, verdict: Verdict) -> Examined {
        let at = Timestamp::from_seconds(i64::from(session));
        let login = Login { session_id: id(session), user_id: UserId::new(user).unwrap(), at };
        Examined { verdict, generation: Generation::new(generation), login: Some(login) }
    }

    fn unknown() -> Examined {
        Examined { verdict: Verdict::Invalid, generation: Generation::new(9), login: None }
    }

    fn chosen(tokens: &[Examined], wanted: Option<u8>) -> (usize, Others) {
        let choice = choose(tokens, wanted.map(id));
        (choice.chosen, choice.others)
    }

    #[test]
    fn the_live_session_wins_over_those_that_ended_wherever_it_stands() {
        let live = token(1, "alice", 3, Verdict::Rotate);
        for dead in [Verdict::Revoked, Verdict::Expired] {
            let dead = token(2, "alice", 0, dead);
            assert_eq!(chosen(&[dead.clone(), live.clone()], None), (1, Others::Over));
            assert_eq!(chosen(&[live.clone(), dead], None), (0, Others::Over));
        }
        assert_eq!(chosen(&[unknown(), live.clone()], None), (1, Others::Foreign));
        assert_eq!(chosen(&[live, unknown(), unknown()], None), (0, Others::Foreign));
    }

    #[test]
    fn an_older_copy_is_never_presented_beside_its_successor() {
        let current = token(1, "alice", 5, Verdict::Young);
        for older in [Verdict::Theft, Verdict::Replay, Verdict::Remint] {
            let older = token(1, "alice", 4, older);
            assert_eq!(chosen(&[older.clone(), current.clone()], None), (1, Others::Over));
            assert_eq!(chosen(&[current.clone(), older.clone()], Some(1)), (0, Others::Over));
            // This holds beside a live token of another session, too.
            let other = token(2, "alice", 0, Verdict::Rotate);
            assert_eq!(chosen(&[older, other], None).0, 1);
        }
    }

    #[test]
    fn the_page_picks_and_otherwise_the_newest_login_wins() {
        let both = [token(1, "alice", 0, Verdict::Rotate), token(2, "mallory", 0, Verdict::Young)];
        assert_eq!(chosen(&both, None), (1, Others::Alive));
        assert_eq!(chosen(&both, Some(1)), (0, Others::Alive));
        assert_eq!(chosen(&both, Some(2)), (1, Others::Alive));
        assert_eq!(chosen(&both, Some(7)), (1, Others::Alive), "a session that is not there");
        assert!(choose(&both, None).mixes_users);
        let one = [token(1, "alice", 0, Verdict::Rotate), token(2, "alice", 0, Verdict::Young)];
        assert!(!choose(&one, None).mixes_users);
        assert!(
            !choose(&[both[0].clone(), token(2, "bob", 0, Verdict::Revoked)], None).mixes_users
        );
    }

    #[test]
    fn a_page_whose_session_is_over_becomes_nobody_else() {
        let over = token(3, "alice", 0, Verdict::Revoked);
        let neighbour = token(2, "mallory", 0, Verdict::Rotate);
        let own = token(1, "alice", 0, Verdict::Rotate);
        assert_eq!(chosen(&[neighbour.clone(), over.clone()], Some(3)), (1, Others::Alive));
        assert_eq!(chosen(&[neighbour.clone(), over.clone(), own], Some(3)).0, 2);
        assert_eq!(chosen(&[neighbour, over], None).0, 0);
    }

    #[test]
    fn without_a_live_session_the_newest_one_s_fate_is_told() {
        let over = [token(1, "a", 0, Verdict::Revoked), token(2, "a", 0, Verdict::Expired)];
        assert_eq!(chosen(&over, None), (1, Others::Over));
        assert_eq!(chosen(&[unknown(), unknown()], None), (0, Others::Foreign));
        assert_eq!(chosen(&[unknown()], None), (0, Others::None));
    }

    #[test]
    fn few_are_examined_and_the_wanted_one_is_among_them() {
        let key = LineageKey::new([7; 32]);
        let mint = |of: u8| {
            let token = RefreshToken::mint(&key, id(of), Generation::new(0), [9; 32]);
            (of.to_string(), token)
        };
        let mut few: Vec<_> = (0..4).map(mint).collect();
        assert!(!shortlist(&mut few, None));
        assert_eq!(few.len(), 4);
        let mut many: Vec<_> = (0..200).map(mint).collect();
        assert!(shortlist(&mut many, Some(id(3))));
        let left: Vec<_> = many.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(left, ["3", "199", "198", "197"]);
    }
}
