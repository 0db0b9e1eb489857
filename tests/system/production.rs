//! A setup as in production, behind a proxy that encrypts.

use test_support::replica::Setup;
use test_support::tools;

/// A random text that is not a secret.
pub(crate) const SECRET: &str = "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=";

/// Returns the setup in production, without a migrated database.
pub(crate) fn in_production(setup: &Setup) -> Setup {
    let (setup, _) = with_caller(setup);
    setup.set("ENVIRONMENT", "production").set("JWT_SECRET", SECRET).set("TLS", "off")
}

/// Returns the setup with a caller that has every role, and its API key.
pub(crate) fn with_caller(setup: &Setup) -> (Setup, String) {
    let setup = setup.clone().set("CALLERS_FILE", "callers.json");
    let roles = ["issuer", "adapter", "verifier", "admin"];
    let added = setup.run(&[&["callers", "add", "everybody", "--role"], &roles[..]].concat());
    assert!(added.status.success(), "{}", tools::text(&added.stderr));
    (setup, tools::text(&added.stdout).trim().to_owned())
}
