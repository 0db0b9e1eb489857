//! Properties of every single verdict, for any past of the session, any times in its row, and any
//! presented token.

use std::time::Duration;

use proptest::prelude::*;
use token_authority::clock::Timestamp;
use token_authority::token::id::{Generation, SessionId};
use token_authority::token::lifetimes::Lifetimes;
use token_authority::token::refresh::{LineageKey, RefreshToken};
use token_authority::token::rotation::{Policy, Verdict, judge, take_effect};
use token_authority::token::session::{RevocationReason, Revoked, Session};

use crate::system::{LOGIN, candidate, log_in};

const WINDOW: i64 = 30;
const DAY: i64 = 86_400;

/// The kinds of token, by their origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Current,
    Predecessor,
    /// The successor that the last re-mint displaced soon after its hand-out.
    Beside,
    /// The predecessor's predecessor, after a rotation.
    Former,
    /// An ancestor, or a displaced successor.
    Dead,
    /// A token of a generation that the row has not reached.
    Future,
    /// Its MAC is wrong.
    Forged,
    /// A token of another session.
    Foreign,
}

#[derive(Debug, Clone)]
struct Case {
    session: Session,
    kind: Kind,
    presented: RefreshToken,
    /// All tokens that the session ever had.
    tokens: Vec<(Kind, RefreshToken)>,
    now: Timestamp,
    policy: Policy,
}

impl Case {
    fn judge(&self) -> Verdict {
        judge(&self.session, &self.presented, self.now, &self.policy)
    }

    /// Applies the verdict. Returns the session after it, and the token for the client.
    fn settle(&self, verdict: Verdict) -> (Session, Option<RefreshToken>) {
        let mut after = self.session.clone();
        let drawn = candidate(u64::MAX);
        let token =
            take_effect(verdict, &mut after, &self.presented, &drawn, self.now, &self.policy);
        (after, token)
    }

    fn presents(&self, presented: RefreshToken) -> Self {
        Self { presented, ..self.clone() }
    }

    /// Returns whether the current token is the login's own and was handed out once.
    fn is_first(&self) -> bool {
        let lineage = &self.session.lineage;
        lineage.predecessor.is_none() && lineage.handed_out_at <= self.session.created_at
    }

    /// Computes the expected verdict from the table of rules, by the known kind of the token.
    fn expected(&self) -> Verdict {
        let lineage = &self.session.lineage;
        let within = |moment| self.now.since(moment) <= Duration::from_secs(30);
        match self.kind {
            Kind::Forged | Kind::Foreign => Verdict::Invalid,
            _ if self.session.revoked.is_some() => Verdict::Revoked,
            _ if self.now >= self.session.expires_at => Verdict::Expired,
            Kind::Current | Kind::Beside if !self.policy.rotation => Verdict::Keep,
            Kind::Current if self.is_first() => Verdict::Rotate,
            Kind::Current if within(lineage.handed_out_at) => Verdict::Young,
            Kind::Current => Verdict::Rotate,
            Kind::Predecessor => match lineage.proven_at {
                None if within(lineage.handed_out_at) => Verdict::Replay,
                None => Verdict::Remint,
                Some(proven_at) if within(proven_at) => Verdict::Replay,
                Some(_) => Verdict::Theft,
            },
            Kind::Beside if !within(lineage.handed_out_at) => Verdict::Rotate,
            Kind::Former if !within(lineage.handed_out_at) => Verdict::Theft,
            Kind::Beside | Kind::Former => Verdict::Young,
            Kind::Dead => Verdict::Theft,
            Kind::Future => Verdict::Invalid,
        }
    }
}

fn policy(rotation: bool) -> Policy {
    Policy {
        rotation,
        window: Duration::from_secs(30),
        refresh_lifetime: Duration::from_hours(7 * 24),
        session_max_lifetime: Duration::from_hours(30 * 24),
    }
}

/// Creates a session with a past, and returns every token that it ever had, each with its present
/// kind. The past tells for each refresh whether the reply before was lost, and whether it comes late.
fn lived(past: &[(bool, bool)]) -> (Session, Vec<(Kind, RefreshToken)>) {
    let policy = policy(true);
    let (mut session, first) = log_in(&policy);
    let (mut tokens, mut current, mut predecessor) = (vec![first], 0, None);
    let (mut now, mut aside) = (LOGIN, None);
    for (number, (lost, late)) in past.iter().enumerate() {
        now = now + policy.window * 2 + Duration::from_micros((*late).into());
        // If the reply was lost, the client presents the predecessor again.
        let from = if *lost { predecessor.unwrap_or(current) } else { current };
        let presented = tokens[from].clone();
        let verdict = judge(&session, &presented, now, &policy);
        assert!(matches!(verdict, Verdict::Rotate | Verdict::Remint));
        let drawn = candidate(number.try_into().unwrap());
        let token = take_effect(verdict, &mut session, &presented, &drawn, now, &policy);
        aside = match verdict {
            Verdict::Rotate => predecessor.map(|index| (Kind::Former, index)),
            _ => (!late).then_some((Kind::Beside, current)),
        };
        predecessor = Some(from);
        current = tokens.len();
        tokens.push(token.unwrap());
    }
    let kind = |index| match index {
        _ if index == current => Kind::Current,
        _ if Some(index) == predecessor => Kind::Predecessor,
        _ => aside.filter(|(_, at)| *at == index).map_or(Kind::Dead, |(kind, _)| kind),
    };
    let tokens = tokens.into_iter().enumerate().map(|(index, token)| (kind(index), token));
    (session, tokens.collect())
}

fn strange(kind: Kind, session: &Session, of: &RefreshToken) -> RefreshToken {
    let key = &session.lineage.key;
    let (id, generation, secret) = (session.id, of.generation(), *of.secret());
    match kind {
        Kind::Future => {
            let later = Generation::new(session.lineage.generation.number() + 1);
            RefreshToken::mint(key, id, later, secret)
        }
        Kind::Foreign => {
            let other = SessionId::new(LOGIN, [9; 10]);
            RefreshToken::mint(key, other, generation, secret)
        }
        _ => RefreshToken::mint(&LineageKey::new([9; 32]), id, generation, secret),
    }
}

/// Seconds from now: near the edges of the window, and far from them.
fn seconds() -> impl Strategy<Value = i64> {
    prop_oneof![-2 * WINDOW..=2 * WINDOW, Just(-WINDOW), Just(-WINDOW - 1), -9 * DAY..=9 * DAY]
}

fn lifetimes() -> impl Strategy<Value = Lifetimes> {
    let life = || {
        prop::option::weighted(
            0.3,
            (1..40 * DAY).prop_map(|seconds| Duration::from_secs(seconds.unsigned_abs())),
        )
    };
    (life(), life()).prop_map(|(refresh, max)| Lifetimes { refresh, max })
}

fn reason() -> impl Strategy<Value = RevocationReason> {
    proptest::sample::select(RevocationReason::ALL.to_vec())
}

prop_compose! {
    fn case()(
        past in prop::collection::vec(any::<(bool, bool)>(), 0..8),
        kind in proptest::sample::select(vec![
            Kind::Current, Kind::Predecessor, Kind::Beside, Kind::Former, Kind::Dead,
        ]),
        stranger in prop::option::weighted(0.2, proptest::sample::select(vec![
            Kind::Future, Kind::Forged, Kind::Foreign,
        ])),
        handed_out in seconds(),
        proven in prop::option::of(seconds()),
        expires in prop_oneof![9 => 1..9 * DAY, 1 => -DAY..=0],
        revoked in prop::option::weighted(0.1, (seconds(), reason())),
        rotation in prop::bool::weighted(0.8),
        lifetimes in lifetimes(),
    ) -> Case {
        let (mut session, tokens) = lived(&past);
        let now = LOGIN + Duration::from_hours(10 * 24);
        let at = |seconds: i64| Timestamp::from_seconds(now.as_seconds() + seconds);
        session.lineage.handed_out_at = at(handed_out);
        session.lineage.proven_at = proven.map(at);
        session.expires_at = at(expires);
        session.lifetimes = lifetimes;
        session.revoked = revoked.map(|(seconds, reason)| Revoked { at: at(seconds), reason });
        // A young session has no dead token yet, and perhaps no predecessor.
        let of_kind = tokens.iter().find(|(other, _)| *other == kind).or(tokens.last());
        let (kind, token) = of_kind.unwrap().clone();
        let (kind, presented) = match stranger {
            None => (kind, token),
            Some(kind) => (kind, strange(kind, &session, &token)),
        };
        Case { session, kind, presented, tokens, now, policy: policy(rotation) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn the_verdict_is_the_table_s(case in case()) {
        prop_assert_eq!(case.judge(), case.expected());
    }

    #[test]
    fn a_refusal_changes_nothing_but_that_a_theft_revokes(case in case()) {
        let verdict = case.judge();
        let (after, token) = case.settle(verdict);
        let mut expected = case.session.clone();
        match verdict {
            Verdict::Invalid | Verdict::Revoked | Verdict::Expired => {}
            Verdict::Theft => {
                expected.revoke(case.now, RevocationReason::Reuse);
            }
            _ => return Ok(()),
        }
        prop_assert!(token.is_none());
        prop_assert_eq!(after, expected);
    }

    #[test]
    fn whatever_is_not_refused_gets_the_current_token_or_its_own(case in case()) {
        let verdict = case.judge();
        let (after, token) = case.settle(verdict);
        let refused = matches!(
            verdict,
            Verdict::Invalid | Verdict::Revoked | Verdict::Expired | Verdict::Theft
        );
        prop_assert_eq!(token.is_none(), refused);
        if let Some(token) = token {
            prop_assert!(!matches!(case.kind, Kind::Forged | Kind::Foreign));
            prop_assert!(token.is_authentic(&after.lineage.key));
            prop_assert_eq!(token.session_id(), after.id);
            let unchanged = matches!(verdict, Verdict::Young | Verdict::Keep);
            prop_assert_eq!(token == case.presented, unchanged);
            if !(unchanged && matches!(case.kind, Kind::Beside | Kind::Former)) {
                prop_assert_eq!(token.hash(), after.lineage.current);
                prop_assert_eq!(token.generation(), after.lineage.generation);
            }
        }
    }

    #[test]
    fn a_new_successor_succeeds_the_presented_token(case in case()) {
        let verdict = case.judge();
        if !(matches!(verdict, Verdict::Rotate | Verdict::Remint)) {
            return Ok(());
        }
        let (before, (after, token)) = (&case.session, case.settle(verdict));
        let lineage = &after.lineage;
        prop_assert_eq!(lineage.generation, before.lineage.generation.next());
        prop_assert_eq!(lineage.predecessor, Some(case.presented.hash()));
        prop_assert_eq!((lineage.handed_out_at, lineage.proven_at), (case.now, None));
        prop_assert_eq!(after.expires_at, case.policy.expiry(&before.lifetimes, before.created_at, case.now));
        prop_assert!(after.expires_at <= before.created_at + case.policy.session_max_lifetime);
        let own_end = before.lifetimes.end(before.created_at, case.now);
        prop_assert!(own_end.is_none_or(|end| after.expires_at <= end));

        if after.expires_at <= case.now {
            return Ok(());
        }
        // A retry gets the same token. The client that holds the new token is accepted, and the
        // displaced token is refused.
        let next = Case { session: after, ..case.clone() };
        prop_assert_eq!(next.judge(), Verdict::Replay);
        let (replayed, again) = next.settle(Verdict::Replay);
        prop_assert_eq!(&again, &token);
        let next = Case { session: replayed, ..next };
        let verdict_on_it = next.presents(token.unwrap()).judge();
        let welcome = if case.policy.rotation { Verdict::Young } else { Verdict::Keep };
        prop_assert_eq!(verdict_on_it, welcome);
        let displaced =
            RefreshToken::mint(&next.session.lineage.key, next.session.id, before.lineage.generation, [7; 32]);
        prop_assert_eq!(next.presents(displaced).judge(), Verdict::Theft);
    }

    /// Each token that a change sets aside is acceptable in the window after it.
    #[test]
    fn what_a_change_sets_aside_is_no_theft_at_once(case in case()) {
        let verdict = case.judge();
        let (after, _) = case.settle(verdict);
        let lineage = &case.session.lineage;
        let aside = match verdict {
            Verdict::Rotate => Kind::Predecessor,
            Verdict::Remint => Kind::Current,
            _ => return Ok(()),
        };
        if !case.policy.rotation {
            return Ok(());
        }
        let late = case.now.since(lineage.handed_out_at) > Duration::from_mins(1);
        let is_dead = verdict == Verdict::Remint && late;
        let Some((_, token)) = case.tokens.iter().find(|(kind, _)| *kind == aside) else {
            return Ok(());
        };
        if after.expires_at <= case.now + Duration::from_secs(31) {
            return Ok(());
        }
        let next = Case { session: after, ..case.clone() }.presents(token.clone());
        prop_assert_eq!(next.judge(), if is_dead { Verdict::Theft } else { Verdict::Young });
        let later = Case { now: case.now + Duration::from_secs(31), ..next };
        let expected = match verdict {
            Verdict::Remint if !is_dead => Verdict::Rotate,
            _ => Verdict::Theft,
        };
        prop_assert_eq!(later.judge(), expected);
    }

    #[test]
    fn a_replay_changes_nothing_but_the_hand_out(case in case()) {
        let verdict = case.judge();
        if !(verdict == Verdict::Replay) {
            return Ok(());
        }
        let (mut after, _) = case.settle(verdict);
        let handed_out_at = case.session.lineage.handed_out_at;
        prop_assert_eq!(after.lineage.handed_out_at, handed_out_at.max(case.now));
        after.lineage.handed_out_at = handed_out_at;
        prop_assert_eq!(after, case.session);
    }

    #[test]
    fn a_token_that_stays_proves_nothing(case in case()) {
        let verdict = case.judge();
        if !(matches!(verdict, Verdict::Young | Verdict::Keep)) {
            return Ok(());
        }
        let (after, _) = case.settle(verdict);
        let mut expected = case.session.clone();
        // If the session's end has moved on, a young token is extended like one that is kept.
        let end = case.policy.expiry(&expected.lifetimes, expected.created_at, case.now);
        let slack = expected.lifetimes.refresh.map_or(case.policy.window, |own| {
            case.policy.window.min(own / 4)
        });
        let extends = case.kind == Kind::Current && end > expected.expires_at + slack;
        if verdict == Verdict::Keep || extends {
            expected.last_used_at = expected.last_used_at.max(case.now);
            let after_login = expected.created_at + Duration::from_micros(1);
            let handed_out_at = expected.lineage.handed_out_at.max(case.now).max(after_login);
            expected.lineage.handed_out_at = handed_out_at;
            expected.expires_at = end;
        }
        prop_assert_eq!(after, expected);
    }

    /// A clock that is behind the login's may only rotate the first token.
    #[test]
    fn the_hand_out_never_goes_back(case in case()) {
        let (after, _) = case.settle(case.judge());
        let (before, first) = (&case.session.lineage, case.session.lineage.predecessor.is_none());
        let behind = first && case.now < before.handed_out_at;
        prop_assert!(behind || after.lineage.handed_out_at >= before.handed_out_at);
        prop_assert!(after.lineage.generation >= before.generation);
    }

    #[test]
    fn after_a_theft_every_token_of_the_session_is_dead(case in case(), mine: [u8; 32]) {
        let (session, _) = case.settle(Verdict::Theft);
        let lineage = &session.lineage;
        let token = RefreshToken::mint(&lineage.key, session.id, lineage.generation, mine);
        let next = Case { session, ..case.clone() };
        prop_assert_eq!(next.presents(token).judge(), Verdict::Revoked);
        let forged = matches!(case.kind, Kind::Forged | Kind::Foreign);
        let expected = if forged { Verdict::Invalid } else { Verdict::Revoked };
        prop_assert_eq!(next.judge(), expected);
    }
}
