//! Checks of the files that hold secrets.

use super::{Finding, Installation};

/// Whether only their owner and group read the database, the generated secret and TLS's key.
pub(super) fn private(installation: &Installation<'_>) -> Vec<Finding> {
    let modes = &installation.files.modes;
    let open = modes.iter().filter(|(_, mode)| mode & 0o007 != 0);
    let mut findings: Vec<Finding> = open
        .map(|(path, mode)| {
            let path = path.display();
            let message = format!(
                "{path} has mode {mode:03o}: every user of this machine gets at what it holds; \
                 run `chmod o-rwx {path}`"
            );
            Finding::error("files.private", message)
        })
        .collect();
    if findings.is_empty() && !modes.is_empty() {
        findings
            .push(Finding::ok("files.private", "others have no access to files that hold secrets"));
    }
    findings
}
