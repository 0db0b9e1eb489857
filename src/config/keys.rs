//! Settings of the signing keys, and the rule that no two secrets are equal.

use std::time::Duration;

use super::reader::{CREATE_SECRET, Reader, spoiled};
use super::secret_text::invisible_extra;
use super::{Config, Environment};
use crate::keys::Secret;
use crate::keys::life::Schedule;
use crate::token::key::Algorithm;

pub(super) fn read(reader: &mut Reader<'_>) -> Schedule {
    const DAY: u64 = 24 * 60 * 60;
    let algorithms = Algorithm::ALL.map(|algorithm| (algorithm.as_str(), algorithm));
    let days = reader.number("KEY_ROTATION_DAYS", 0..=3650_u64);
    let publish = reader.number("KEY_PUBLISH_SECONDS", 0..=86_400_u64);
    Schedule {
        algorithm: reader.choice("JWT_ALGORITHM", &algorithms).unwrap_or(Algorithm::Hs256),
        rotate_every: (days > 0).then(|| Duration::from_secs(days * DAY)),
        publish: Duration::from_secs(publish),
        has_secret: false,
    }
}

/// Reads the auth-server's secret. Its strength is not checked, because it is not ours to change, and
/// the auth-server may really use a value with blanks.
pub(super) fn auth_server_secret(reader: &mut Reader<'_>) -> Option<Secret> {
    let text = reader.text("BETTER_AUTH_SECRET")?;
    if let (None, Some(problem)) = (invisible_extra(text), spoiled("BETTER_AUTH_SECRET", text)) {
        reader.problem("BETTER_AUTH_SECRET", problem);
    }
    Some(Secret::new(text))
}

impl Config {
    pub(super) fn check_secrets(&self, reader: &mut Reader<'_>) {
        let algorithm = self.keys.algorithm;
        let production = self.environment == Environment::Production;
        if production && !reader.is_given("JWT_SECRET") && !algorithm.is_asymmetric() {
            let text = format!("JWT_SECRET is required in production; {CREATE_SECRET}");
            reader.problem("JWT_SECRET", text);
        }
        if !reader.is_given("AUTHORITY_SECRET") && algorithm.is_asymmetric() {
            let text = format!(
                "AUTHORITY_SECRET is required with JWT_ALGORITHM={algorithm}: it seals the \
                 private keys in the database; {CREATE_SECRET}"
            );
            reader.problem("AUTHORITY_SECRET", text);
        }
        let equal = [
            ("AUTHORITY_SECRET", &self.authority_secret, "JWT_SECRET", &self.jwt_secret),
            (
                "AUTHORITY_SECRET",
                &self.authority_secret,
                "JWT_SECRET_PREVIOUS",
                &self.jwt_secret_previous,
            ),
            ("JWT_SECRET_PREVIOUS", &self.jwt_secret_previous, "JWT_SECRET", &self.jwt_secret),
        ];
        for (name, secret, other, known) in equal {
            if secret.is_some() && secret == known {
                let why = if name == "AUTHORITY_SECRET" { ", which backends embed" } else { "" };
                reader.problem(name, format!("{name} must not equal {other}{why}"));
            }
        }
    }

    /// Checks that the published discovery documents name a fixed address. Without an issuer they
    /// would name the host of each request, which the client chooses.
    pub(super) fn check_issuer(&self, reader: &mut Reader<'_>) {
        let production = self.environment == Environment::Production;
        let algorithm = self.keys.algorithm;
        if production && algorithm.is_asymmetric() && self.tokens.issuer.is_none() {
            let text = format!(
                "JWT_ISSUER is required in production with JWT_ALGORITHM={algorithm}, whose public \
                 keys are published: set it to the service's public address, such as \
                 https://auth.example.com"
            );
            reader.problem("JWT_ISSUER", text);
        }
    }

    /// Returns a sentence about invisible characters in the auth-server's secret. `None`: there are
    /// none.
    #[must_use]
    pub fn suspicious_auth_server_secret(&self) -> Option<String> {
        let secret = std::str::from_utf8(self.auth_server_secret.as_ref()?.expose()).ok()?;
        let extra = invisible_extra(secret)?;
        Some(format!(
            "BETTER_AUTH_SECRET has {extra}: unless the auth-server uses exactly these bytes, its \
             signed cookies are refused"
        ))
    }

    /// Returns a sentence for each of our secrets that equals the auth-server's. A backend that embeds
    /// such a secret could forge logins. The sentences do not contain the secret.
    #[must_use]
    pub fn shared_with_auth_server(&self) -> Vec<String> {
        let Some(login) = &self.auth_server_secret else { return Vec::new() };
        let ours = [
            ("JWT_SECRET", &self.jwt_secret, "backends embed it, and could forge logins with it"),
            (
                "JWT_SECRET_PREVIOUS",
                &self.jwt_secret_previous,
                "backends embed it, and could forge logins with it",
            ),
            ("AUTHORITY_SECRET", &self.authority_secret, "only this service may know it"),
        ];
        let equal = ours.into_iter().filter(|(_, secret, _)| secret.as_ref() == Some(login));
        let describe = |(name, _, why)| {
            let print = login.fingerprint();
            format!(
                "{name} equals BETTER_AUTH_SECRET (fingerprint {print}): {why}; give each its own"
            )
        };
        equal.map(describe).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Problem;
    use crate::config::source::Given;

    const ONE: &str = "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=";
    const TWO: &str = "Zx3LqW8nB1vK6yTe0RmUo5JpGh7dSc2fAi9XwNbQkEs=";

    fn read(pairs: &[(&'static str, &str)]) -> Result<Config, Vec<Problem>> {
        Config::read(&Given::of(pairs))
    }

    #[test]
    fn an_asymmetric_algorithm_needs_the_services_own_secret() {
        for algorithm in ["EdDSA", "ES256", "RS256", "eddsa"] {
            let problems = read(&[("JWT_ALGORITHM", algorithm)]).unwrap_err();
            let first = problems[0].to_string();
            assert!(first.contains("AUTHORITY_SECRET is required"), "{problems:?}");
            let config = read(&[
                ("ENVIRONMENT", "production"),
                ("JWT_ALGORITHM", algorithm),
                ("AUTHORITY_SECRET", ONE),
            ]);
            assert!(config.unwrap().keys.algorithm.is_asymmetric());
        }
        assert!(read(&[("JWT_ALGORITHM", "none")]).is_err());
        let both = [("JWT_SECRET_PREVIOUS", ONE), ("AUTHORITY_SECRET", ONE)];
        assert!(read(&both).unwrap_err()[0].to_string().contains("must not equal"));
    }

    #[test]
    fn published_keys_need_a_fixed_issuer_in_production() {
        let problems = |more: &[(&'static str, &str)]| {
            let common = [("ENVIRONMENT", "production"), ("AUTHORITY_SECRET", ONE)];
            let given = Given::of(&[&common[..], more].concat());
            let problems = Config::read_to_serve(&given).unwrap_err();
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        for algorithm in ["EdDSA", "ES256", "RS256"] {
            let found = problems(&[("JWT_ALGORITHM", algorithm)]);
            assert!(found.contains("JWT_ISSUER is required"), "{found}");
            let issuer = ("JWT_ISSUER", "https://auth.example.com");
            let found = problems(&[("JWT_ALGORITHM", algorithm), issuer]);
            assert!(!found.contains("JWT_ISSUER"), "{found}");
        }
        assert!(!problems(&[("JWT_SECRET", TWO)]).contains("JWT_ISSUER"));
    }

    #[test]
    fn keys_are_rotated_every_thirty_days_by_default() {
        let config = read(&[]).unwrap();
        assert_eq!(config.keys.rotate_every, Some(Duration::from_hours(30 * 24)));
        assert_eq!(config.keys.publish, Duration::from_mins(15));
        let config = read(&[("KEY_ROTATION_DAYS", "0")]).unwrap();
        assert_eq!(config.keys.rotate_every, None);
    }

    #[test]
    fn a_secret_shared_with_the_auth_server_is_reported_and_not_quoted() {
        let report = |login: &[(&'static str, &'static str)]| {
            let ours = [("JWT_SECRET", ONE), ("AUTHORITY_SECRET", TWO)];
            read(&[&ours, login].concat()).unwrap().shared_with_auth_server()
        };
        assert_eq!(report(&[]), [""; 0]);
        assert_eq!(report(&[("BETTER_AUTH_SECRET", "another")]), [""; 0]);
        for (secret, name) in [(ONE, "JWT_SECRET"), (TWO, "AUTHORITY_SECRET")] {
            let found = report(&[("BETTER_AUTH_SECRET", secret)]);
            assert!(found.len() == 1 && found[0].starts_with(name), "{found:?}");
            assert!(!found[0].contains(&secret[..8]));
        }
    }
}
