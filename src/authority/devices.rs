//! Device-bound sessions (W3C draft "Device Bound Session Credentials"): register a device for a session,
//! and renew its binding.
//!
//! 1. A login or a refresh of an unbound session offers a registration, with a challenge.
//! 2. The browser makes a key pair and answers with a proof: its public key, and the challenge, signed.
//!    The key is stored in the session's row.
//! 3. The browser gets a binding, which ends after a few minutes, and a challenge for the next one.
//! 4. Before the binding ends, the browser signs that challenge, and gets another binding. That reads the
//!    row and writes nothing.
//! 5. A refresh shows the binding. `token/device_verdict.rs` says when one without it is refused.
//!
//! A renewal whose challenge does not fit is answered with a new one: it may just be old.

use std::time::Duration;

use super::{Authority, AuthorityError, DeviceRefusal, ProofRefusal, RefreshRefusal};
use crate::clock::Timestamp;
use crate::keys::DeviceKeys;
use crate::keys::device::{verify_registration, verify_renewal};
use crate::store::{Bind, Bound};
use crate::token::device::{DeviceBinding, Registration, Shown, Thumbprint};
use crate::token::device_mac::Purpose;
use crate::token::device_proof::UnverifiedProof;
use crate::token::field::InvalidField;
use crate::token::id::SessionId;
use crate::token::refresh::RefreshToken;
use crate::token::session::Session;

/// The answer to a registration or a renewal.
pub struct DeviceAnswer {
    /// The session.
    pub session_id: SessionId,
    /// The binding's text, which is secret, and its lifetime. `None`: the challenge of a renewal did not
    /// fit, or there was no proof.
    pub binding: Option<(String, Duration)>,
    /// The challenge for the next proof.
    pub challenge: String,
}

impl std::fmt::Debug for DeviceAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceAnswer").field("session_id", &self.session_id).finish_non_exhaustive()
    }
}

impl Authority {
    /// Registers a device for the session of a refresh token, which is not used by that. `actor` is the
    /// caller's name.
    ///
    /// # Errors
    /// Returns [`AuthorityError`] if the proof or the token is refused, the session is bound to another
    /// device, device-bound sessions are off, or the store fails.
    pub async fn register_device(
        &self,
        refresh_token: &str,
        proof: &str,
        actor: &str,
    ) -> Result<DeviceAnswer, AuthorityError> {
        let devices = self.devices.as_ref().ok_or(DeviceRefusal::Off)?;
        if refresh_token.is_empty() {
            return Err(InvalidField::new("refresh_token", "is required").into());
        }
        let presented = RefreshToken::parse(refresh_token).ok_or(RefreshRefusal::Invalid)?;
        let (session_id, now) = (presented.session_id(), self.clock.now());
        let proof = self.read_proof(proof)?;
        // A new challenge is only in an answer with a new token. Otherwise a thief could register with a
        // copied token, and both would hold the same one unseen.
        let purpose = Purpose::Registration(presented.hash());
        if !devices.accepts(&proof.challenge, session_id, purpose, now) {
            return Err(self.refuse_proof(ProofRefusal::Challenge).into());
        }
        let key = verify_registration(&proof)
            .ok_or_else(|| self.refuse_proof(ProofRefusal::Signature))?;
        let thumbprint = key.thumbprint;
        self.bind(Bind { presented, key, now, actor: actor.to_owned() }).await?;
        Ok(answer(devices, session_id, thumbprint, now))
    }

    /// Renews the binding of a session. Without a proof, the answer is a challenge.
    ///
    /// # Errors
    /// Returns [`AuthorityError`] if the session has no device, the proof is not its device's,
    /// device-bound sessions are off, or the store fails.
    pub async fn renew_device_binding(
        &self,
        session_id: SessionId,
        proof: &str,
    ) -> Result<DeviceAnswer, AuthorityError> {
        let devices = self.devices.as_ref().ok_or(DeviceRefusal::Off)?;
        let proof = if proof.is_empty() { None } else { Some(self.read_proof(proof)?) };
        let session = self.store.find(session_id).await?;
        let now = self.clock.now();
        let device = session.and_then(|session| device_of(session, now));
        let device = device.ok_or_else(|| self.refuse_proof(ProofRefusal::Session))?;
        let key = device.key;
        let purpose = Purpose::Renewal(key.thumbprint);
        let is_answered = match proof {
            None => false,
            Some(proof) if !verify_renewal(&proof, &key) => {
                return Err(self.refuse_proof(ProofRefusal::Signature).into());
            }
            Some(proof) => {
                let is_answered = devices.accepts(&proof.challenge, session_id, purpose, now);
                if !is_answered {
                    self.events.device_proof_refused(ProofRefusal::Challenge);
                }
                is_answered
            }
        };
        if !is_answered {
            let challenge = devices.challenge(session_id, purpose, now);
            return Ok(DeviceAnswer { session_id, binding: None, challenge });
        }
        self.events.device_renewed();
        Ok(answer(devices, session_id, key.thumbprint, now))
    }

    /// Returns what a refresh shows of its device.
    pub(super) fn shown(&self, binding: &str, session_id: SessionId, now: Timestamp) -> Shown {
        let Some(devices) = &self.devices else { return Shown::Ignored };
        devices.device_of(binding, session_id, now).map_or(Shown::Nothing, Shown::Key)
    }

    /// Returns the challenge with which the answer that carries `token` offers a registration. `None`: the
    /// session has a device, or device-bound sessions are off.
    pub(super) fn offer(
        &self,
        device: Option<&DeviceBinding>,
        token: &RefreshToken,
        now: Timestamp,
    ) -> Option<String> {
        let devices = self.devices.as_ref().filter(|_| device.is_none())?;
        let purpose = Purpose::Registration(token.hash());
        Some(devices.challenge(token.session_id(), purpose, now))
    }

    async fn bind(&self, bind: Bind) -> Result<(), AuthorityError> {
        let (session_id, now) = (bind.presented.session_id(), bind.now);
        let Bound { verdict, session, outcome, revocation } = self.store.bind(bind).await?;
        self.apply_refused(verdict, revocation);
        if session.is_none() && self.has_outlived(session_id, now) {
            return Err(RefreshRefusal::Expired.into());
        }
        RefreshRefusal::of(verdict).map_or(Ok(()), Err)?;
        match outcome {
            Registration::New => self.events.device_registered(),
            Registration::Again => {}
            Registration::Refused => return Err(self.refuse_proof(ProofRefusal::Challenge).into()),
            Registration::Taken => {
                self.events.device_proof_refused(ProofRefusal::Bound);
                return Err(DeviceRefusal::AlreadyBound.into());
            }
        }
        Ok(())
    }

    fn read_proof<'a>(&self, text: &'a str) -> Result<UnverifiedProof<'a>, DeviceRefusal> {
        UnverifiedProof::parse(text).ok_or_else(|| self.refuse_proof(ProofRefusal::Malformed))
    }

    fn refuse_proof(&self, reason: ProofRefusal) -> DeviceRefusal {
        self.events.device_proof_refused(reason);
        DeviceRefusal::ProofInvalid
    }
}

/// Returns a live session's device.
fn device_of(session: Session, now: Timestamp) -> Option<DeviceBinding> {
    let is_live = session.revoked.is_none() && now < session.expires_at;
    session.device.filter(|_| is_live)
}

fn answer(
    devices: &DeviceKeys,
    session_id: SessionId,
    thumbprint: Thumbprint,
    now: Timestamp,
) -> DeviceAnswer {
    DeviceAnswer {
        session_id,
        binding: Some((devices.bind(session_id, thumbprint, now), devices.lifetime())),
        challenge: devices.challenge(session_id, Purpose::Renewal(thumbprint), now),
    }
}
