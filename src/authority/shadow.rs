//! Shadow mode: a request that carries tokens of both kinds is answered by one of them, and the
//! other one is judged, too, to see whether it would have said the same.
//!
//! The other one is judged after the answer, beside it, and nothing comes of it but a count: no
//! proof of receipt, no figure of how long a validation takes or what it asks of the database.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::events::{Disagreement, NoEvents};
use super::validate::{Active, Question, Validation};
use super::{AuthMethod, Authority, AuthorityError};
use crate::clock::Timestamp;
use crate::token::session::Session;

/// How many comparisons may be under way. What comes on top is not compared: a database that is
/// behind is not to be asked for more.
const MAX_CONCURRENT_COMPARISONS: usize = 256;

/// What an authority needs to compare.
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
    /// Whether tokens of the other kind are judged, too, and handed out for that.
    #[must_use]
    pub const fn has_shadow(&self) -> bool {
        self.shadow.is_some()
    }

    /// Judges the other token of a request that `answered` has answered, if it is of the other
    /// kind, and tells the observer in what the two disagree. Returns at once.
    pub fn compare(self: &Arc<Self>, answered: Compared, other: String) {
        let Some(shadow) = &self.shadow else { return };
        if self.method_of(&other) == answered.method {
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

    /// In no trace: the request's has ended, or is about to.
    async fn judge_in_shadow(
        &self,
        answered: &Compared,
        other: &str,
    ) -> Result<Validation, AuthorityError> {
        let (audience, now) = (answered.audience.as_deref(), self.clock.now());
        self.judge(Question { token: other, audience, now, events: &NoEvents }).await
    }

    /// A JWT beside the session token that a user is given, so that there is something to compare
    /// before anybody is given JWTs. None where no JWT may be minted at all.
    pub(super) fn mint_shadow(&self, session: &Session, now: Timestamp) -> Option<String> {
        let wanted = self.shadow.is_some()
            && session.auth_method == AuthMethod::Session
            && self.rollout().jwt_enabled;
        let minted = wanted.then(|| self.mint_jwt(session, now))?;
        Some(minted.ok()?.token)
    }
}

/// An answer, to be compared.
#[derive(Debug)]
pub struct Compared {
    /// The answer.
    pub validation: Validation,
    /// The kind of the token that it is about.
    pub method: AuthMethod,
    /// The audience that was asked for.
    pub audience: Option<String>,
}

/// In what the two disagree. `None` of the second: it could not be judged.
fn disagreement(answered: &Validation, other: Option<&Validation>) -> Option<Disagreement> {
    match (answered, other) {
        (_, None) => Some(Disagreement::Failed),
        (Validation::Active(one), Some(Validation::Active(other))) => apart(one, other),
        (Validation::Active(_), Some(Validation::Inactive(_))) => Some(Disagreement::OnlyPrimary),
        (Validation::Inactive(_), Some(Validation::Active(_))) => Some(Disagreement::OnlyShadow),
        (Validation::Inactive(_), Some(Validation::Inactive(_))) => None,
    }
}

fn apart(one: &Active, other: &Active) -> Option<Disagreement> {
    let (first, second) = (one.claims(), other.claims());
    if first.subject != second.subject {
        return Some(Disagreement::User);
    }
    // A session that was there before has none to compare.
    let both_ours = one.session_id().is_some() && other.session_id().is_some();
    let alike = first.audience == second.audience
        && first.scopes == second.scopes
        && first.further == second.further;
    (both_ours && !alike).then_some(Disagreement::Grant)
}
