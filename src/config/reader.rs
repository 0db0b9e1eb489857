//! Reading single settings, gathering every problem on the way.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::source::Given;
use crate::keys::Secret;
use crate::transport::limits::rate::Rate;

/// How many bytes a secret has at least (RFC 7518 section 3.2 for HS256).
pub(super) const LEAST_SECRET: usize = 32;

/// Reads settings and remembers what is wrong with them.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    given: &'a Given,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(given: &'a Given) -> Self {
        Self { given, problems: given.problems().map(str::to_owned).collect() }
    }

    /// Says what is wrong. Never quotes a secret.
    pub(super) fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    pub(super) fn problems(self) -> Vec<String> {
        self.problems
    }

    /// Whether something was given by that name, if only something that could not be taken in.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.get(name).is_some() || self.given.is_unreadable(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.given.get(name)
    }

    pub(super) fn number<N>(&mut self, name: &str, bounds: RangeInclusive<N>) -> N
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        let (least, most) = (*bounds.start(), *bounds.end());
        let text = self.text(name).unwrap_or_default();
        match text.parse::<N>() {
            Ok(number) if bounds.contains(&number) => number,
            _ => {
                self.problem(format!("{name} must be a whole number from {least} to {most}"));
                least
            }
        }
    }

    pub(super) fn truth(&mut self, name: &str) -> bool {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            Some("true" | "1" | "yes" | "on") => true,
            Some("false" | "0" | "no" | "off") => false,
            _ => {
                self.problem(format!("{name} must be true or false"));
                false
            }
        }
    }

    pub(super) fn address(&mut self, name: &str) -> SocketAddr {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            self.problem(format!(
                "{name} must be an IP address and a port, such as 127.0.0.1:8080"
            ));
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    pub(super) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let chosen = choices.iter().find(|(choice, _)| choice.eq_ignore_ascii_case(text));
        if chosen.is_none() {
            let names: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
            self.problem(format!("{name} must be one of {}", names.join(", ")));
        }
        chosen.map(|(_, value)| *value)
    }

    /// A rate, such as `20/100`; `0` is none.
    pub(super) fn rate(&mut self, name: &str) -> Option<Rate> {
        let text = self.text(name).filter(|text| *text != "0")?;
        let rate = text.parse().ok();
        if rate.is_none() {
            self.problem(format!(
                "{name} must be requests a second, such as 50, with a burst, such as 50/200, or 0"
            ));
        }
        rate
    }

    pub(super) fn list(&self, name: &str) -> Vec<&'a str> {
        let parts = self.text(name).unwrap_or_default().split(',');
        parts.map(str::trim).filter(|part| !part.is_empty()).collect()
    }

    /// A secret that is long enough and no placeholder.
    pub(super) fn secret(&mut self, name: &str, production: bool) -> Option<Secret> {
        let text = self.text(name)?;
        if text.len() < LEAST_SECRET {
            self.problem(format!(
                "{name} must be at least {LEAST_SECRET} bytes long; make one with `openssl rand -base64 48`"
            ));
        } else if production && is_placeholder(text) {
            self.problem(format!(
                "{name} is a placeholder; make a real one with `openssl rand -base64 48`"
            ));
        }
        Some(Secret::new(text))
    }
}

/// Whether a secret was copied from some documentation, or typed without thought.
fn is_placeholder(secret: &str) -> bool {
    const GIVEAWAYS: [&str; 22] = [
        "changeme",
        "change-me",
        "change_me",
        "change this",
        "change-this",
        "change_this",
        "your-",
        "your_",
        "placeholder",
        "example",
        "secret-key",
        "secret_key",
        "replace",
        "xxxx",
        "do-not-use",
        "do_not_use",
        "insecure",
        "dev-secret",
        "test-secret",
        "todo-",
        "password",
        "openssl",
    ];
    let lower = secret.to_ascii_lowercase();
    let distinct = secret.bytes().collect::<std::collections::BTreeSet<_>>().len();
    distinct < 8
        || is_a_repetition(secret.as_bytes())
        || GIVEAWAYS.iter().any(|giveaway| lower.contains(giveaway))
}

/// Whether it is a dozen bytes at most, again and again.
fn is_a_repetition(secret: &[u8]) -> bool {
    (1..=12).any(|period| secret.iter().zip(secret.iter().skip(period)).all(|(a, b)| a == b))
}

#[cfg(test)]
mod tests {
    use super::is_placeholder;

    #[test]
    fn placeholders_are_recognised() {
        for bad in [
            "your-super-secret-jwt-key-min-32-characters",
            "change-me-change-me-change-me-change-me",
            "0000000000000000000000000000000000000000",
            "CHANGE_ME_IN_PRODUCTION_PLEASE_0123456789",
            "dev-secret-do-not-use-in-production-123",
            "test-secret-test-secret-test-secret-12",
            "insecure-development-secret-0123456789",
            "12345678901234567890123456789012",
            "TODO-generate-a-secret-before-deploying",
            "use-openssl-rand-base64-32-to-generate",
        ] {
            assert!(is_placeholder(bad), "{bad}");
        }
        assert!(!is_placeholder("kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr="));
    }
}
