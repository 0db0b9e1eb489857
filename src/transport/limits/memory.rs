//! The memory that the service may use, and how much of it is in use.
//!
//! A container that exceeds its limit is killed, and every client loses its connection. So the service
//! reads the limit and sheds the largest connections before it is reached.

use std::fs;
use std::path::{Path, PathBuf};

/// The share of the limit, in percent, from which on connections are shed.
const HIGH_WATER_PERCENT: u64 = 80;

/// The memory of the process, and its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    limit: u64,
}

impl Memory {
    /// Uses `limit` bytes, or the limit of the container or the machine if it is `None`.
    #[must_use]
    pub fn new(limit: Option<u64>) -> Self {
        Self { limit: limit.or_else(detect).unwrap_or(u64::MAX) }
    }

    /// Returns a share of the limit in bytes: one `part`th, within the given bounds.
    #[must_use]
    pub fn share(self, part: u64, least: usize, most: usize) -> usize {
        usize::try_from(self.limit / part).unwrap_or(usize::MAX).clamp(least, most)
    }

    /// Returns whether so much memory is in use that connections must be shed.
    #[must_use]
    pub fn is_short(self) -> bool {
        resident().is_some_and(|used| used > self.limit / 100 * HIGH_WATER_PERCENT)
    }
}

/// Reads the smallest limit among the cgroups of this process and the machine's memory.
fn detect() -> Option<u64> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = cgroup_files(&cgroups).into_iter().filter_map(|file| number(&file));
    limits.chain(machine()).min()
}

/// Returns the files with limits for the content of `/proc/self/cgroup`. In a container the own
/// cgroup is usually mounted as the root, so the root's file counts too.
fn cgroup_files(cgroups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        let own = Path::new(root).join(path.trim_start_matches('/'));
        // A parent's limit holds as well.
        let parents = own.ancestors().take_while(|folder| folder.starts_with(root));
        files.extend(parents.map(|folder| folder.join(file)));
    }
    files
}

/// Reads a limit. `max` and unreadable files are no limit.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Reads the machine's memory.
fn machine() -> Option<u64> {
    kilobytes("/proc/meminfo", "MemTotal:")
}

/// Reads the resident memory of this process.
fn resident() -> Option<u64> {
    kilobytes("/proc/self/status", "VmRSS:")
}

/// Reads a line like `VmRSS:  1024 kB`, in bytes.
fn kilobytes(file: &str, name: &str) -> Option<u64> {
    let lines = fs::read_to_string(file).ok()?;
    let number = lines.lines().find_map(|line| line.strip_prefix(name))?;
    Some(number.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_both_versions_of_cgroups_are_found() {
        let files = |text: &str| -> Vec<String> {
            cgroup_files(text).iter().map(|file| file.display().to_string()).collect()
        };
        assert_eq!(
            files("0::/pod/one\n"),
            [
                "/sys/fs/cgroup/pod/one/memory.max",
                "/sys/fs/cgroup/pod/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            files("5:cpu,cpuacct:/a\n4:memory:/b\nbroken"),
            [
                "/sys/fs/cgroup/memory/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
    }

    #[test]
    fn memory_is_short_above_the_high_water_mark() {
        assert!(Memory::new(Some(1024)).is_short());
        assert!(!Memory::new(Some(1 << 50)).is_short());
        assert!(Memory::new(None).limit < 1 << 50, "the machine's memory is known");
        assert_eq!(Memory::new(Some(1 << 30)).share(16, 1, 1 << 20), 1 << 20);
        assert_eq!(Memory::new(Some(16)).share(16, 8, 1 << 20), 8);
    }
}
