//! The limits of the process: its descriptors, and whether it may leave a core dump.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

use crate::config::Environment;
use crate::transport::limits::LimitSettings;
use crate::transport::serve::connection_table::TableLimits;

/// The descriptors that are kept for the database, files, the metrics' port and connections that are
/// closing.
const RESERVED_DESCRIPTORS: usize = 256;

/// Raises the soft limit of descriptors to the hard limit. In production it also forbids core
/// dumps, which would contain every secret.
pub fn apply(environment: Environment) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "cannot raise the limit of descriptors (RLIMIT_NOFILE)");
    }
    if environment == Environment::Production {
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        if let Err(error) = setrlimit(Resource::Core, none) {
            tracing::warn!(%error, "cannot forbid core dumps (RLIMIT_CORE)");
        }
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "cannot forbid core dumps (PR_SET_DUMPABLE)");
        }
    }
}

/// Returns how many descriptors the service may open after it has raised its limit. `None`: there
/// is no limit.
#[must_use]
pub fn allowed_descriptors() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Returns the limits of connections that the settings and the descriptors allow.
pub(super) fn of_table(limits: &LimitSettings) -> TableLimits {
    let descriptors = getrlimit(Resource::Nofile).current;
    let descriptors = descriptors.and_then(|most| usize::try_from(most).ok());
    let connections = descriptors.map_or(limits.connections, |most| {
        // If the limit is very low, half of it is left for connections.
        let left = most.saturating_sub(RESERVED_DESCRIPTORS).max(most / 2);
        limits.connections.min(left.max(1))
    });
    if connections < limits.connections {
        tracing::warn!(
            connections,
            "fewer connections than MAX_CONNECTIONS: raise the limit of descriptors (ulimit -n)"
        );
    }
    TableLimits {
        connections,
        per_client: limits.connections_per_client.min(connections.div_ceil(2)),
        trusted_proxies: limits.trusted_proxies.clone(),
        memory: limits.memory,
    }
}
