//! Shadow mode: a request carries tokens of both kinds. One token decides the answer. The other one
//! is judged too, and the verdicts are compared.
//!
//! The comparison runs after the answer and changes nothing except a counter: it records no receipt
//! and does not count as a validation in the metrics.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::events::{Disagreement, NoEvents};
use super::question::Question;
use super::validate::{Active, Validation};
use super::{AuthMethod, Authority, AuthorityError};
use crate::clock::Timestamp;
use crate::token::id::Generation;
use crate::token::session::Session;

/// The most comparisons that run at the same time. Further requests are not compared, because a slow
/// database must not get additional load.
const MAX_CONCURRENT_COMPARISONS: usize = 256;

/// The state of shadow mode.
#[derive(Debug)]
pub(super) struct Shadow {
    places: Arc<Semaphore>,
}

impl Shadow {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_CONCURRENT_COMPARISONS)) }
    }
}

impl Authority {
    /// Returns whether shadow mode is on.
    #[must_use]
    pub const fn has_shadow(&self) -> bool {
        self.shadow.is_some()
    }

    /// Judges the other token of a request if it is of the other kind, and reports how the verdict
    /// differs from `answered`. Returns immediately.
    pub fn compare(self: &Arc<Self>, answered: Compared, other: String) {
        let Some(shadow) = &self.shadow else { return };
        if self.method_of(&other) == answered.validation.auth_method() {
            return;
        }
        let Ok(place) = Arc::clone(&shadow.places).try_acquire_owned() else { return };
        let authority = Arc::clone(self);
        tokio::spawn(async move {
            let judged = authority.judge_in_shadow(&answered, &other).await;
            authority.events.compared(disagreement(&answered.validation, judged.as_ref().ok()));
            drop(place);
        });
    }

    /// Judges the other token outside of any trace, because the request's span ends independently.
    async fn judge_in_shadow(
        &self,
        answered: &Compared,
        other: &str,
    ) -> Result<Validation, AuthorityError> {
        let (audience, now) = (answered.audience.as_deref(), self.clock.now());
        self.judge(Question { token: other, audience, now, events: &NoEvents }).await
    }

    /// Mints a JWT in addition to a session token, so that the kinds can be compared before users get
    /// JWTs. Returns `None` if JWTs are switched off.
    pub(super) fn mint_shadow(
        &self,
        session: &Session,
        generation: Generation,
        now: Timestamp,
    ) -> Option<String> {
        let wanted = self.shadow.is_some()
            && session.auth_method == AuthMethod::Session
            && self.rollout().jwt_enabled;
        let minted = wanted.then(|| self.mint_jwt(session, generation, now))?;
        Some(minted.ok()?.token)
    }
}

/// A given answer that is to be compared.
#[derive(Debug)]
pub struct Compared {
    /// The answer.
    pub validation: Validation,
    /// The required audience.
    pub audience: Option<String>,
}

/// Compares two verdicts. `other` is `None` if the other token could not be judged.
fn disagreement(answered: &Validation, other: Option<&Validation>) -> Option<Disagreement> {
    match (answered, other) {
        (_, None) => Some(Disagreement::Failed),
        (Validation::Active(one), Some(Validation::Active(other))) => apart(one, other),
        (Validation::Active(_), Some(Validation::Inactive { .. })) => {
            Some(Disagreement::OnlyPrimary)
        }
        (Validation::Inactive { .. }, Some(Validation::Active(_))) => {
            Some(Disagreement::OnlyShadow)
        }
        (Validation::Inactive { .. }, Some(Validation::Inactive { .. })) => None,
    }
}

fn apart(one: &Active, other: &Active) -> Option<Disagreement> {
    let (first, second) = (one.claims(), other.claims());
    if first.subject != second.subject {
        return Some(Disagreement::User);
    }
    // A session of the auth-server has no audience, scopes or claims to compare.
    let both_ours = one.session_id().is_some() && other.session_id().is_some();
    let alike = first.audience == second.audience
        && first.scopes == second.scopes
        && first.further == second.further;
    (both_ours && !alike).then_some(Disagreement::Grant)
}
