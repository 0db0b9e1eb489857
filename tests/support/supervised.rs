//! Child processes that end when the test ends, however it ends.
//!
//! Statics are never dropped and a test may be killed, so a child cannot rely on a destructor.
//! Each runs under a small shell that holds a pipe from this process: when the pipe closes, the
//! shell stops the child and deletes its folder. It ignores the hang-up that the kernel sends when
//! the test is gone and the child is halted.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const SHELL: &str = r#"
folder=$1 signal=$2; shift 2
trap '' HUP
"$@" </dev/null >"$folder/log" 2>&1 &
child=$!
cat >/dev/null
kill -s CONT "$child" $(ps -o pid= --ppid "$child") 2>/dev/null
kill -s "$signal" "$child" 2>/dev/null
wait "$child"
rm -rf "$folder"
"#;

/// A child process in a folder of its own.
#[derive(Debug)]
pub(crate) struct Supervised {
    shell: Child,
    folder: PathBuf,
    signal: &'static str,
}

impl Supervised {
    /// A new folder that the user `postgres` may write to, since its servers refuse to run as
    /// root.
    pub(crate) fn folder() -> PathBuf {
        let folder = tempfile::Builder::new().prefix("ta-test-").tempdir().unwrap().keep();
        if is_root() {
            let chown = Command::new("chown").arg("postgres:postgres").arg(&folder).status();
            assert!(chown.unwrap().success(), "chown failed");
        }
        folder
    }

    /// Starts `command` in `folder`; `signal` ends it.
    pub(crate) fn start(folder: &Path, signal: &'static str, command: &[&str]) -> Self {
        let mut shell = unprivileged("sh");
        shell.args(["-c", SHELL, "supervisor"]).arg(folder).arg(signal).args(command);
        // A Ctrl-C at the terminal is for the test, which then closes the pipe.
        let shell = shell.stdin(Stdio::piped()).process_group(0).current_dir(folder).spawn();
        Self { shell: shell.expect("sh is installed"), folder: folder.to_owned(), signal }
    }

    /// The process that was started.
    pub(crate) fn pid(&self) -> u32 {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            if let Some(pid) = children_of(self.shell.id()).first() {
                return *pid;
            }
            assert!(Instant::now() < deadline, "the child did not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal to the process and all its children.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.pid();
        let mut pids = children_of(pid);
        pids.push(pid);
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        // Some may have ended meanwhile.
        let _ =
            Command::new("kill").arg("-s").arg(signal).args(pids).stderr(Stdio::null()).status();
    }

    /// What it has printed.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.signal("CONT");
        drop(self.shell.stdin.take());
        let ended = self.shell.wait();
        assert!(ended.is_ok(), "the supervisor of {} is gone", self.signal);
    }
}

/// A command that does not run as root.
pub(crate) fn unprivileged(program: &str) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--", program]);
    command
}

/// A port of the loopback interface that is free now.
///
/// None that a connection or a port of no number is given by the system meanwhile, and none twice.
pub(crate) fn free_port() -> u16 {
    static DRAWN: AtomicU32 = AtomicU32::new(0);
    loop {
        let drawn = DRAWN.fetch_add(1, Ordering::Relaxed);
        // Linux gives out those from 32768.
        let port = 20_000 + std::process::id().wrapping_mul(101).wrapping_add(drawn) % 12_000;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Waits until something listens on a loopback port.
pub(crate) fn await_port(port: u16, supervised: &Supervised) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "nothing listens on {port}: {}", supervised.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until nothing listens on a loopback port.
pub(crate) fn await_no_port(port: u16, supervised: &Supervised) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "{port} stays open: {}", supervised.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn children_of(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1) == Some(&parent.to_string())
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(is_child)
        .collect()
}
