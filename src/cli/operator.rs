//! The name under which an operator's commands are recorded.

use std::os::unix::fs::MetadataExt as _;

/// Returns the operator's name, if the environment contains it.
pub(super) fn operator() -> String {
    let named = ["USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    let printable = |user: String| user.chars().filter(|c| !c.is_control()).take(60).collect();
    let user = named.map(printable).find(|user: &String| !user.is_empty());
    let number = || std::fs::metadata("/proc/self").map_or(0, |process| process.uid());
    format!("cli:{}", user.unwrap_or_else(|| format!("uid {}", number())))
}
