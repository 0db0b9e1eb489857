//! Checks the limit of open descriptors: each connection needs one.

use super::{Finding, Installation};

/// The number of descriptors that the service reserves for everything except connections.
const RESERVED: u64 = 256;

/// Checks that the limit allows as many connections as the settings do.
pub(super) fn limit(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "process.descriptors";
    let Some(most) = installation.descriptors else {
        return vec![Finding::ok(name, "The number of open descriptors is not limited.")];
    };
    let connections = installation.config.network.limits.connections;
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(RESERVED);
    if most >= wanted {
        return vec![Finding::ok(name, format!("A process may open {most} descriptors."))];
    }
    let message = format!(
        "A process may open {most} descriptors, and MAX_CONNECTIONS ({connections}) needs {wanted}: \
         raise the limit (ulimit -n), or lower MAX_CONNECTIONS."
    );
    vec![Finding::warn(name, message)]
}
