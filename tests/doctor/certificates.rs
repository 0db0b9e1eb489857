//! Faults in the TLS files.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, KeyPair};
use token_authority::clock::{Clock as _, SystemClock, Timestamp};

use crate::installation::Installation;

const DAY: Duration = Duration::from_hours(24);

fn now() -> SystemTime {
    UNIX_EPOCH + SystemClock.now().since(Timestamp::EPOCH)
}

/// Returns a healthy installation with a certificate that has been valid for that long, and has
/// that lifetime.
fn with_certificate(begun: Duration, life: Duration) -> Installation {
    let installation = Installation::healthy().without("TLS");
    let begins = now() - begun;
    let mut params = CertificateParams::new(["authority.internal".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (begins.into(), (begins + life).into());
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let (cert_path, key_path) = (installation.path("tls.crt"), installation.path("tls.key"));
    std::fs::write(&cert_path, certificate.pem()).unwrap();
    std::fs::write(&key_path, key.serialize_pem()).unwrap();
    set_permissions(&key_path, Permissions::from_mode(0o600)).unwrap();
    installation
        .with("TLS_CERT", cert_path.to_str().unwrap())
        .with("TLS_KEY", key_path.to_str().unwrap())
}

#[test]
fn one_that_is_renewed_in_time_is_no_fault() {
    with_certificate(30 * DAY, 90 * DAY).examine().assert_healthy();
    // A certificate that is meant to live for hours.
    let hour = Duration::from_hours(1);
    with_certificate(hour, 24 * hour).examine().assert_healthy();
}

#[test]
fn one_that_ends_soon() {
    with_certificate(85 * DAY, 90 * DAY).examine().assert_only("warn", "tls.expiry");
}

#[test]
fn one_that_has_ended() {
    with_certificate(91 * DAY, 90 * DAY).examine().assert_only("error", "tls.expiry");
}

#[test]
fn one_that_is_not_good_yet() {
    let installation = with_certificate(Duration::ZERO, 90 * DAY);
    let mut params = CertificateParams::new(["authority.internal".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    params.not_before = (now() + DAY).into();
    params.not_after = (now() + 90 * DAY).into();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(installation.path("tls.crt"), certificate.pem()).unwrap();
    std::fs::write(installation.path("tls.key"), key.serialize_pem()).unwrap();
    installation.examine().assert_only("error", "tls.expiry");
}

#[test]
fn a_key_that_is_another_certificate_s() {
    let installation = with_certificate(DAY, 90 * DAY);
    let other = KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(installation.path("tls.key"), other).unwrap();
    installation.examine().assert_only("error", "tls.files");
}

#[test]
fn a_key_that_anyone_reads() {
    let installation = with_certificate(DAY, 90 * DAY);
    set_permissions(installation.path("tls.key"), Permissions::from_mode(0o644)).unwrap();
    installation.examine().assert_only("error", "files.private");
}

#[test]
fn none_in_production() {
    let installation = Installation::healthy().without("TLS");
    installation.examine().assert_only("error", "tls.files");
}
