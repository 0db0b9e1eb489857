//! Checks of the server's certificate.

use std::time::Duration;

use super::{Finding, Installation};
use crate::clock::Timestamp;

const DAY: u64 = 86_400;
/// A certificate that is renewed automatically has more time left than this.
const RENEWAL_LATE: Duration = Duration::from_secs(7 * DAY);

/// The validity of the certificate in `TLS_CERT` and of its intermediates.
#[derive(Debug, Clone, Copy)]
pub struct CertificateSeen {
    /// The start of the validity of all of them.
    pub begins: Timestamp,
    /// The end of the validity of the first that expires.
    pub ends: Timestamp,
}

/// Checks that the certificate is valid now, and for how long.
pub(super) fn expiry(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "tls.expiry";
    let Some(CertificateSeen { begins, ends }) = installation.certificate else {
        return Vec::new();
    };
    let now = installation.now;
    let left = ends.since(now);
    let days = left.as_secs() / DAY;
    // A certificate with a lifetime of hours is renewed within hours.
    let late = RENEWAL_LATE.min(ends.since(begins) / 5);
    vec![if ends <= now {
        let message = "TLS_CERT or an intermediate certificate has expired: clients refuse every \
                       connection; renew it";
        Finding::error(name, message)
    } else if begins > now {
        Finding::error(
            name,
            "TLS_CERT is not valid yet: clients refuse every connection; check the clock",
        )
    } else if left < late {
        let hours = left.as_secs() / 3600;
        Finding::warn(name, format!("TLS_CERT expires in {hours} hours: renew it"))
    } else {
        Finding::ok(name, format!("TLS_CERT is valid for {days} days"))
    }]
}
