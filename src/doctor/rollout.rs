//! Checks of the roll-out: the stored one against the settings.

use super::{Finding, Installation};
use crate::authority::rollout::deviation;
use crate::store::rows::Schema;

/// Reports settings that differ from the roll-out in effect.
pub(super) fn stored(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "rollout.stored";
    let Some(facts) = installation.database.reached() else { return Vec::new() };
    let Ok(Schema::Current | Schema::Ahead { .. }) = facts.schema else { return Vec::new() };
    let change = match &facts.rollout {
        Ok(change) => change.as_ref(),
        Err(why) => return vec![Finding::error(name, why.to_string())],
    };
    let initial = installation.config.rollout;
    let holds = change.map_or(initial, |change| change.rollout);
    if let Some(deviation) = deviation(initial, change) {
        let ours = ["JWT_ROLLOUT_PERCENTAGE", "JWT_AUTH_ENABLED"];
        // If neither setting is given, the operator relies on the stored roll-out anyway.
        let is_given = installation.given.iter().any(|(name, _)| ours.contains(name));
        let finding = if is_given { Finding::warn } else { Finding::info };
        return vec![finding(name, deviation)];
    }
    let enabled = if holds.jwt_enabled { "on" } else { "off" };
    let percentage = holds.percentage.number();
    let by = if change.is_some() { "stored" } else { "from the settings" };
    vec![Finding::ok(name, format!("{percentage} % of users, JWTs {enabled} ({by})"))]
}
