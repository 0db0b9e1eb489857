//! `RegisterDevice` and `RenewDeviceBinding`: convert their messages.

use super::convert;
use crate::authority::DeviceAnswer;
use crate::token::device::ALGORITHMS;
use crate::token::key::Algorithm;
use crate::transport::callers::roles::REGISTER_DEVICE;
use crate::transport::proto::v1::{RegisterDeviceResponse, RenewDeviceBindingResponse};

/// Returns the value of `Secure-Session-Registration` that offers a registration with this challenge;
/// empty if there is none.
pub(super) fn offer(challenge: Option<String>) -> String {
    let Some(challenge) = challenge else { return String::new() };
    let algorithms = ALGORITHMS.map(Algorithm::as_str).join(" ");
    format!("({algorithms});path=\"{}\";challenge=\"{challenge}\"", REGISTER_DEVICE.path())
}

pub(super) fn registered(answer: DeviceAnswer) -> RegisterDeviceResponse {
    let RenewDeviceBindingResponse {
        device_binding,
        device_binding_expires_in,
        challenge,
        session_id,
    } = renewed(answer);
    RegisterDeviceResponse { device_binding, device_binding_expires_in, challenge, session_id }
}

pub(super) fn renewed(answer: DeviceAnswer) -> RenewDeviceBindingResponse {
    let (device_binding, expires_in) = answer.binding.unzip();
    RenewDeviceBindingResponse {
        device_binding: device_binding.unwrap_or_default(),
        device_binding_expires_in: expires_in.map(convert::duration),
        challenge: answer.challenge,
        session_id: answer.session_id.to_string(),
    }
}
