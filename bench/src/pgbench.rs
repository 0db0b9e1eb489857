//! The limit of one-row transactions: `pgbench`, prepared, on our own table.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::load::Sample;

/// Fills the table with 100,000 rows for the updates and selects. The id of row n is the MD5 of n.
pub(crate) const FILL: &str = "
INSERT INTO user_sessions (id, user_id, token, expires_at, generation, lineage_key, handed_out_at,
    created_at, last_used_at, granted, user_agent, ip_address, device_name, revision, sweep_at)
SELECT md5(n::text)::uuid, 'user-' || n, md5(n::text) || md5((n + 1)::text), now() + interval '7 d', 0,
    decode(md5(n::text) || md5((n + 2)::text), 'hex'), now(), now(), now(), '{}', '', '', '', 0,
    now() + interval '7 d'
FROM generate_series(1, 100000) AS n;
";

/// A one-row insert like ours.
pub(crate) const INSERT: &str = r"
INSERT INTO user_sessions (id, user_id, token, expires_at, generation, lineage_key, handed_out_at,
    created_at, last_used_at, granted, user_agent, ip_address, device_name, revision, sweep_at)
VALUES (gen_random_uuid(), 'user', repeat('a', 64), now() + interval '7 d', 0,
    decode(repeat('ab', 32), 'hex'), now(), now(), now(), '{}', '', '', '', 0, now() + interval '7 d');
";

/// A one-row update like ours.
pub(crate) const UPDATE: &str = r"
\set n random(1, 100000)
UPDATE user_sessions SET token = repeat('b', 64), expires_at = now() + interval '7 d',
    predecessor = token, generation = generation + 1, sealed = decode(repeat('cd', 60), 'hex'),
    handed_out_at = now(), last_used_at = now(), revision = revision + 1
WHERE id = md5((:n)::text)::uuid;
";

/// A one-row select like ours.
pub(crate) const SELECT: &str = r"
\set n random(1, 100000)
SELECT id, user_id, token, expires_at, predecessor, generation, sealed, lineage_key, handed_out_at,
    proven_at, created_at, last_used_at, revoked_at, revocation_reason, granted, user_agent,
    ip_address, device_name, revision
FROM user_sessions WHERE id = md5((:n)::text)::uuid;
";

/// Runs a script with that many clients for that long.
pub(crate) fn run(url: &str, script: &str, clients: usize, turn: Duration) -> Sample {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let clients = clients.to_string();
    let seconds = turn.as_secs().to_string();
    let threads = if clients == "1" { "1" } else { "2" };
    let output = Command::new(program())
        .args(["-n", "-M", "prepared", "-c", &clients, "-j", threads, "-T", &seconds, "-f"])
        .arg(file.path())
        .arg(url)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
    let number = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split('=').nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap()
    };
    let average = (number("latency average") * 1000.0) as u64;
    Sample { per_second: number("tps"), p50: average, p99: 0, failed: 0 }
}

fn program() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap();
    let mut found: Vec<_> =
        versions.map(|version| version.unwrap().path().join("bin/pgbench")).collect();
    found.sort();
    found.pop().unwrap()
}
