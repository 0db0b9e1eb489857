//! The whole system: the browser, the network, the session's row, and perhaps a thief. It lists the
//! possible steps and detects violations.
//!
//! The row is a real [`Session`] with real tokens, and the rules are the library's. Only the
//! *identity* of a state is abstract ([`System::view`]). It contains the relation of each held
//! token to the row (current, predecessor, or dead for good), and how long ago each event was, up
//! to the age beyond which age makes no difference. The search compares states by that view, and
//! `main.rs` checks that it loses nothing.

use token_authority::clock::Timestamp;
use token_authority::token::client::ClientInfo;
use token_authority::token::grant::Grant;
use token_authority::token::id::{Epoch, Generation, SessionId, UserId};
use token_authority::token::lifetimes::Lifetimes;
use token_authority::token::method::AuthMethod;
use token_authority::token::refresh::{LineageKey, RefreshToken};
use token_authority::token::rotation::{Policy, SuccessorSeed, Verdict};
use token_authority::token::session::{Lineage, Session};

use crate::scenario::{Action, DAY, Decision, Distance, Scenario, TICK, Violation};
use crate::view::standing;
use crate::world::{Access, Client, Held, Reply, Stray, Tab};

/// When the user logs in.
pub(crate) const LOGIN: Timestamp = Timestamp::from_seconds(1_700_000_000);

/// Creates a login: its row, and its first token.
pub(crate) fn log_in(policy: &Policy) -> (Session, RefreshToken) {
    let id = SessionId::new(LOGIN, [1; 10]);
    let key = LineageKey::new([2; 32]);
    let first = RefreshToken::mint(&key, id, Generation::FIRST, [3; 32]);
    let session = Session {
        id,
        user_id: UserId::new("user").unwrap(),
        grant: Grant::default(),
        client: ClientInfo::default(),
        created_at: LOGIN,
        last_used_at: LOGIN,
        expires_at: policy.expiry(&Lifetimes::default(), LOGIN, LOGIN),
        access_ends_at: LOGIN,
        revoked: None,
        lineage: Lineage::begin(key, &first, LOGIN),
        auth_method: AuthMethod::Jwt,
        lifetimes: Lifetimes::default(),
        persistent: true,
        epoch: Epoch::FIRST,
        device: None,
    };
    (session, first)
}

/// Returns the `number`th random bytes.
pub(crate) fn candidate(number: u64) -> SuccessorSeed {
    let (mut secret, mut nonce) = ([0; 32], [0; 12]);
    secret[..8].copy_from_slice(&number.to_be_bytes());
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    SuccessorSeed { secret, nonce }
}

/// The party that a success is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    Victim,
    Thief,
}

/// An access token that `ValidateToken` has seen, whose receipt is not stored yet.
#[derive(Clone)]
pub(crate) struct Receipt {
    pub(crate) generation: Generation,
    pub(crate) seen_at: Timestamp,
}

#[derive(Clone, Default)]
pub(crate) struct Thief {
    /// All tokens that it ever got. Of the dead ones, only one is kept.
    pub(crate) tokens: Vec<Held>,
    pub(crate) acted_at: Option<Timestamp>,
}

/// A state.
#[derive(Clone)]
pub(crate) struct System {
    pub(crate) now: Timestamp,
    pub(crate) session: Session,
    pub(crate) client: Client,
    pub(crate) proof: Option<Receipt>,
    pub(crate) victim_acted_at: Option<Timestamp>,
    pub(crate) thief: Thief,
    /// The party whose refresh succeeded last, after the theft.
    pub(crate) succeeded: Option<Party>,
    pub(crate) switches: u8,
    /// The row before its last change. `None`: that change can no longer be lost.
    pub(crate) before: Option<Box<Session>>,
    pub(crate) commit_lost: bool,
    pub(crate) minted: u64,
    /// The result of the last refresh, for the description of the run.
    pub(crate) verdict: Option<(Verdict, Option<Held>)>,
}

impl System {
    /// Creates the state after the login's reply has arrived.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let (session, first) = log_in(&scenario.policy(true));
        let first = Held::new(first);
        let mut client = Client::new(first.clone(), scenario.tabs);
        if scenario.second_login_reply {
            let access = Access { generation: first.token().generation(), issued_at: LOGIN };
            client.send(0, LOGIN);
            client.answer(0, Reply { cookie: Some(first), access });
        }
        Self {
            now: LOGIN,
            session,
            client,
            proof: None,
            victim_acted_at: None,
            thief: Thief::default(),
            succeeded: None,
            switches: 0,
            before: None,
            commit_lost: false,
            minted: 0,
            verdict: None,
        }
    }

    /// Returns all possible next steps.
    pub(crate) fn actions(&self, scenario: &Scenario) -> Vec<Action> {
        if self.session.revoked.is_some() {
            return Vec::new();
        }
        let mut actions = Vec::new();
        self.add_time(scenario, &mut actions);
        for tab in 0..scenario.tabs {
            match &self.client.tabs[tab] {
                Tab::Idle => actions.push(Action::Send(tab)),
                Tab::Asked { sent_at, .. } => {
                    self.add_decisions(scenario, tab, *sent_at, &mut actions);
                    actions.push(Action::Lose(tab));
                    if scenario.late.is_some() && self.client.strays.is_empty() {
                        actions.push(Action::Abandon(tab));
                    }
                }
                Tab::Answered { .. } => actions.extend([Action::Land(tab), Action::Lose(tab)]),
            }
        }
        for stray in 0..self.client.strays.len() {
            if scenario.is_apart(self.now, self.thief.acted_at) {
                actions.push(Action::Arrive(stray));
            }
            actions.push(Action::LoseStray(stray));
        }
        // Requests of a browser that died arrive or are lost before it dies again.
        let most_strays = usize::from(scenario.dies_beside_copy);
        if self.client.strays.len() <= most_strays {
            actions.extend((0..self.client.on_disk.len()).map(Action::Die));
        }
        self.add_proofs(scenario, &mut actions);
        self.add_thief(scenario, &mut actions);
        if scenario.commit_lost && self.before.is_some() {
            actions.push(Action::LoseCommit);
        }
        actions
    }

    fn add_time(&self, scenario: &Scenario, actions: &mut Vec<Action>) {
        let longest = TICK * u32::from(scenario.round_trip);
        let mut sent = self.client.tabs.iter().filter_map(Tab::sent_at).peekable();
        let strays = &self.client.strays;
        if sent.peek().is_none() && strays.is_empty() {
            actions.push(Action::Sleep);
        }
        let in_time = strays.iter().all(|stray| self.now < stray.until);
        if in_time && sent.all(|sent_at| self.now.since(sent_at) < longest) {
            actions.push(Action::Tick);
        }
    }

    fn add_decisions(
        &self,
        scenario: &Scenario,
        tab: usize,
        sent_at: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let earliest = i8::try_from(self.ticks_since(sent_at)).unwrap();
        let latest = -i8::try_from(scenario.clocks_differ).unwrap();
        for before in latest..=earliest {
            if !scenario.is_apart(self.stamp(before), self.thief.acted_at) {
                continue;
            }
            for again in [false, true] {
                let decision = Decision { before, rotation: true, again, copied: false };
                actions.push(Action::Decide(tab, decision));
                if scenario.rotation_differs {
                    actions.push(Action::Decide(tab, Decision { rotation: false, ..decision }));
                }
                if scenario.late.is_some() && self.client.strays.is_empty() && !again {
                    actions.push(Action::Decide(tab, Decision { copied: true, ..decision }));
                }
            }
        }
    }

    fn add_proofs(&self, scenario: &Scenario, actions: &mut Vec<Action>) {
        let lineage = &self.session.lineage;
        let policy = scenario.policy(true);
        let proves = |heard: Access| {
            heard.generation == lineage.generation
                && scenario.rules.proves_receipt(&policy, heard.issued_at, self.now)
        };
        let useful = self.client.heard.is_some_and(proves) && lineage.proven_at.is_none();
        let apart = scenario.thief != Some(Distance::FromRefreshesAndProofs)
            || scenario.is_apart(self.now, self.thief.acted_at);
        if useful && apart && self.proof.is_none() {
            actions.push(Action::Validate);
        }
        if self.proof.is_some() {
            actions.extend([Action::StoreProof, Action::LoseProof]);
        }
    }

    fn add_thief(&self, scenario: &Scenario, actions: &mut Vec<Action>) {
        if scenario.thief.is_none() {
            return;
        }
        if self.thief.tokens.is_empty() {
            actions.push(Action::Steal);
        }
        if scenario.is_apart(self.now, self.victim_acted_at) {
            let lineage = &self.session.lineage;
            let newest =
                self.thief.tokens.first().is_some_and(|token| standing(lineage, token) == 0);
            if scenario.thief_validates && newest && lineage.proven_at.is_none() {
                actions.push(Action::ThiefValidates);
            }
            for token in 0..self.thief.tokens.len() {
                actions.push(Action::Present { token, heard: true });
                actions.push(Action::Present { token, heard: false });
            }
        }
    }

    /// Takes a step that [`Self::actions`] returned.
    pub(crate) fn step(&self, scenario: &Scenario, action: Action) -> Result<Self, Violation> {
        let mut next = self.clone();
        next.take(scenario, action).map(|()| next)
    }

    /// Takes a step that [`Self::actions`] returned, and keeps the state that a violation led to.
    pub(crate) fn take(&mut self, scenario: &Scenario, action: Action) -> Result<(), Violation> {
        self.verdict = None;
        match action {
            Action::Tick => self.now = self.now + TICK,
            Action::Sleep => self.now = self.now + DAY,
            Action::Send(tab) => self.client.send(tab, self.now),
            Action::Decide(tab, decision) => self.decide(scenario, tab, decision)?,
            Action::Land(tab) => {
                self.client.land(tab, self.now);
                self.succeed(scenario, Party::Victim)?;
            }
            Action::Lose(tab) => self.client.lose(tab),
            Action::Abandon(tab) => {
                let sent_at = self.client.tabs[tab].sent_at().expect("the step was possible");
                let late = scenario.late.expect("the step was possible");
                let late = late.saturating_sub(scenario.round_trip).max(scenario.round_trip);
                self.client.abandon(tab, sent_at + TICK * u32::from(late));
            }
            Action::Arrive(stray) => self.arrive(scenario, stray)?,
            Action::LoseStray(stray) => drop(self.client.strays.remove(stray)),
            Action::Die(state) => {
                self.client.die(state, TICK * u32::from(scenario.round_trip));
            }
            Action::Validate => self.validate(scenario),
            Action::StoreProof => self.store_proof(),
            Action::LoseProof => self.proof = None,
            Action::Steal => self.thief.tokens.push(self.client.jar.clone()),
            Action::Present { token, heard } => self.present(scenario, token, heard)?,
            Action::ThiefValidates => {
                self.thief.acted_at = Some(self.now);
                self.session.lineage.proven_at = Some(self.now);
            }
            Action::LoseCommit => {
                self.session = *self.before.take().expect("the step was possible");
                self.commit_lost = true;
            }
        }
        self.tidy(scenario);
        Ok(())
    }

    fn decide(
        &mut self,
        scenario: &Scenario,
        tab: usize,
        decision: Decision,
    ) -> Result<(), Violation> {
        let (presented, _) = self.client.asked(tab).expect("the step was possible");
        let stamp = self.stamp(decision.before);
        if decision.copied {
            let late = TICK * u32::from(scenario.late.expect("the step was possible"));
            let until = (stamp + late).max(self.now);
            self.client.strays.push(Stray { token: presented.clone(), until });
        }
        let (verdict, successor) = self.refresh(scenario, &presented, stamp, decision.rotation);
        if scenario.thief.is_some() {
            self.victim_acted_at = self.victim_acted_at.max(Some(stamp));
        }
        let Some(successor) = successor else {
            self.client.lose(tab);
            return self.refused(scenario, verdict);
        };
        if !decision.again {
            let generation = successor.token().generation();
            let access = Access { generation, issued_at: stamp };
            let set = scenario.rules.sets_cookie(verdict, presented.token(), successor.token());
            self.client.answer(tab, Reply { cookie: set.then_some(successor), access });
        }
        Ok(())
    }

    /// Decides on a request whose answer nobody awaits.
    fn arrive(&mut self, scenario: &Scenario, stray: usize) -> Result<(), Violation> {
        let Stray { token, .. } = self.client.strays.remove(stray);
        let (verdict, successor) = self.refresh(scenario, &token, self.now, true);
        if scenario.thief.is_some() {
            self.victim_acted_at = self.victim_acted_at.max(Some(self.now));
        }
        if successor.is_none() { self.refused(scenario, verdict) } else { Ok(()) }
    }

    fn present(&mut self, scenario: &Scenario, token: usize, heard: bool) -> Result<(), Violation> {
        let presented = self.thief.tokens[token].clone();
        let (verdict, successor) = self.refresh(scenario, &presented, self.now, true);
        self.thief.acted_at = Some(self.now);
        match successor {
            None => self.refused(scenario, verdict),
            Some(_) if !heard => Ok(()),
            Some(successor) => {
                self.thief.tokens.push(successor);
                self.succeed(scenario, Party::Thief)
            }
        }
    }

    fn refresh(
        &mut self,
        scenario: &Scenario,
        presented: &Held,
        now: Timestamp,
        rotation: bool,
    ) -> (Verdict, Option<Held>) {
        self.minted += 1;
        let candidate = candidate(self.minted);
        let before = scenario.commit_lost.then(|| self.session.clone());
        let session = &mut self.session;
        let policy = scenario.policy(rotation);
        let (verdict, token) =
            scenario.rules.refresh(session, presented.token(), &candidate, now, &policy);
        if !self.commit_lost
            && let Some(before) = before.filter(|before| *before != self.session)
        {
            self.before = Some(Box::new(before));
        }
        let held = token.map(|token| {
            if token == *presented.token() { presented.clone() } else { Held::new(token) }
        });
        self.verdict = Some((verdict, held));
        self.verdict.clone().expect("it was set above")
    }

    fn refused(&self, scenario: &Scenario, verdict: Verdict) -> Result<(), Violation> {
        let alive = self.session.revoked.is_none();
        match verdict {
            _ if !self.thief.tokens.is_empty() && alive => Err(Violation::RefusedYetAlive(verdict)),
            _ if !self.thief.tokens.is_empty() => Ok(()),
            // The database has lost the token that the client holds. The client has to log in
            // again, but this does not count as a theft.
            Verdict::Invalid if scenario.commit_lost => Ok(()),
            _ => Err(Violation::Refused(verdict)),
        }
    }

    fn succeed(&mut self, scenario: &Scenario, party: Party) -> Result<(), Violation> {
        if self.thief.tokens.is_empty() {
            return Ok(());
        }
        if self.succeeded.replace(party).is_some_and(|before| before != party) {
            self.switches += 1;
        }
        if self.switches > scenario.most_switches { Err(Violation::BothGoOn) } else { Ok(()) }
    }

    fn validate(&mut self, scenario: &Scenario) {
        let heard = self.client.heard.expect("the step was possible");
        self.proof = Some(Receipt { generation: heard.generation, seen_at: self.now });
        if scenario.thief == Some(Distance::FromRefreshesAndProofs) {
            self.victim_acted_at = self.victim_acted_at.max(Some(self.now));
        }
    }

    /// Stores a receipt as the stores do: only for the current token, and only once.
    fn store_proof(&mut self) {
        let lineage = &mut self.session.lineage;
        if let Some(proof) = self.proof.take()
            && proof.generation == lineage.generation
        {
            lineage.proven_at.get_or_insert(proof.seen_at);
        }
    }

    /// Drops everything that can no longer make a difference.
    fn tidy(&mut self, scenario: &Scenario) {
        let now = self.now;
        self.client.on_disk.retain(|(_, replaced_at)| {
            scenario.jar_lag.is_some_and(|lag| now.since(*replaced_at) <= TICK * u32::from(lag))
        });
        let lineage = &self.session.lineage;
        if self.proof.as_ref().is_some_and(|proof| proof.generation != lineage.generation) {
            self.proof = None;
        }
        let mut kept = Vec::<(u8, Held)>::new();
        for token in self.thief.tokens.drain(..) {
            let standing = standing(lineage, &token);
            if kept.iter().all(|(other, _)| *other != standing) {
                kept.push((standing, token));
            }
        }
        kept.sort_by_key(|(standing, _)| *standing);
        self.thief.tokens = kept.into_iter().map(|(_, token)| token).collect();
    }

    pub(crate) fn stamp(&self, ticks_before: i8) -> Timestamp {
        let by = TICK * u32::from(ticks_before.unsigned_abs());
        if ticks_before < 0 { self.now + by } else { self.now - by }
    }

    fn ticks_since(&self, earlier: Timestamp) -> u64 {
        self.now.since(earlier).as_secs() / TICK.as_secs()
    }
}
