//! Checks of the server's certificate.

use std::time::Duration;

use super::{Finding, Installation};
use crate::clock::Timestamp;

const DAY: u64 = 86_400;
/// Less is left only where nobody renews.
const LATE: Duration = Duration::from_secs(7 * DAY);

/// For how long the certificate of `TLS_CERT` is good, and those between it and the root.
#[derive(Debug, Clone, Copy)]
pub struct CertificateSeen {
    /// From when on all of them are.
    pub begins: Timestamp,
    /// When the first of them ends.
    pub ends: Timestamp,
}

/// Whether it is good now, and for how long.
pub(super) fn expiry(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "tls.expiry";
    let Some(CertificateSeen { begins, ends }) = installation.certificate else {
        return Vec::new();
    };
    let now = installation.now;
    let left = ends.since(now);
    let days = left.as_secs() / DAY;
    // One that lives for hours by design is renewed within them.
    let late = LATE.min(ends.since(begins) / 5);
    vec![if ends <= now {
        let message = "TLS_CERT, or a certificate between it and the root, has ended: clients \
                       refuse every connection";
        Finding::error(name, message)
    } else if begins > now {
        Finding::error(name, "TLS_CERT is not good yet: clients refuse every connection")
    } else if left < late {
        let hours = left.as_secs() / 3600;
        Finding::warn(name, format!("TLS_CERT ends in {hours} hours: is it renewed?"))
    } else {
        Finding::ok(name, format!("TLS_CERT is good for {days} days"))
    }]
}
