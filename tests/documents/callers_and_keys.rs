//! The commands for callers and for key pairs.

use crate::machine::Machine;
use crate::page::snippet;

#[test]
fn callers_are_added_listed_and_removed() {
    let machine = Machine::start(&[]);
    let printed = machine.run(&snippet("docs/callers.md", "export CALLERS_FILE"));
    assert_eq!(printed.lines().filter(|line| line.starts_with("tak_")).count(), 2, "{printed}");
    let list = machine.run("token-authority callers list");
    assert!(list.starts_with("auth-server\troles=issuer,adapter,sessions\t"), "{list}");
    assert_eq!(list.lines().count(), 1, "{list}");
}

#[test]
fn key_pairs_are_published_under_a_secret_and_then_another() {
    let machine = Machine::start(&[]);
    // A new key signs after three seconds, so that the page's waits are short.
    machine.run("export KEY_PUBLISH_SECONDS=0 JWT_ISSUER=https://auth.example.com");
    machine.run("token-authority migrate");
    machine.run(&snippet("docs/keys.md", "export AUTHORITY_SECRET"));
    machine.run("export JWT_ALGORITHM=EdDSA");
    machine.run(&snippet("docs/keys.md", "AUTHORITY_SECRET="));
    let list = machine.run("token-authority keys list");
    assert_eq!(list.matches("EdDSA").count(), 2, "{list}");
}
