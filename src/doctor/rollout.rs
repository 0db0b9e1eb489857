//! Checks of the roll-out: what is stored against what the settings say.

use super::{Finding, Installation};
use crate::authority::rollout::deviation;
use crate::store::rows::Schema;

/// Whether the settings say something else than what holds.
pub(super) fn stored(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "rollout.stored";
    let Some(facts) = installation.database.reached() else { return Vec::new() };
    let Ok(Schema::Current | Schema::Ahead { .. }) = facts.schema else { return Vec::new() };
    let change = match &facts.rollout {
        Ok(change) => change.as_ref(),
        Err(why) => return vec![Finding::error(name, why.clone())],
    };
    let initial = installation.config.rollout;
    let holds = change.map_or(initial, |change| change.rollout);
    if let Some(told) = deviation(initial, change) {
        let ours = ["JWT_ROLLOUT_PERCENTAGE", "JWT_AUTH_ENABLED"];
        // Whoever has set nothing knows that the command decides.
        let meant = installation.given.iter().any(|(name, _)| ours.contains(name));
        let finding = if meant { Finding::warn } else { Finding::info };
        return vec![finding(name, told)];
    }
    let enabled = if holds.jwt_enabled { "on" } else { "off" };
    let percentage = holds.percentage.number();
    let by = if change.is_some() { "stored" } else { "by the settings" };
    vec![Finding::ok(name, format!("{percentage} % with JWTs {enabled}, {by}"))]
}
