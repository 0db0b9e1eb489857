//! Child processes that end when the test ends, and ports for them.
//!
//! A destructor ends a child when a test returns or panics. It does not run for a static, nor when
//! the test is killed. So each child has a watcher: a shell that holds a pipe from this process.
//! When the pipe closes, the watcher ends the child and deletes its folder.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::until::{until, until_blocking};

/// Starts the watcher and then becomes the program.
///
/// The watcher is a grandchild, so that the program has no child that it does not know. It ignores
/// the hang-up signal that the kernel sends if the test has ended and the program is halted. The
/// shell adds nothing to the program's environment.
const SCRIPT: &str = r#"
signal=$1 folder=$2; shift 2
unset PWD OLDPWD
exec 3<&0 </dev/null
(
    (
        trap '' HUP
        cat <&3
        kill -s CONT $$ $(ps -o pid= --ppid $$)
        kill -s "$signal" $$
        if [ -n "$folder" ]; then
            for _ in $(seq 200); do kill -0 $$ || break; sleep 0.05; done
            rm -rf "$folder"
        fi
    ) >/dev/null 2>&1 &
)
exec 3<&-
exec "$@"
"#;

/// A running process. It is ended when this is dropped.
#[derive(Debug)]
pub struct Supervised {
    child: Child,
    signal: &'static str,
    folder: Option<PathBuf>,
}

impl Supervised {
    /// Makes a folder that the user `postgres` may write to, because its servers refuse to run as
    /// root.
    pub fn folder() -> PathBuf {
        let folder = tempfile::Builder::new().prefix("ta-test-").tempdir().unwrap().keep();
        if is_root() {
            let chown = Command::new("chown").arg("postgres:postgres").arg(&folder).status();
            assert!(chown.unwrap().success(), "chown failed");
        }
        folder
    }

    /// Starts a server in its own folder, not as root. `signal` ends it, and then the folder is
    /// deleted. Its output goes to the file `log` in the folder.
    pub fn start(folder: &Path, signal: &'static str, command: &[&str]) -> Self {
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let program = unprivileged(command[0]);
        let mut words = vec![program.get_program().to_owned()];
        words.extend(program.get_args().map(OsStr::to_owned));
        words.extend(command[1..].iter().map(OsString::from));
        Self::spawn(signal, Some(folder), &words, |shell| {
            shell.current_dir(folder).stdout(log.try_clone().unwrap()).stderr(log);
        })
    }

    /// Starts any command with the environment that `configure` gives it. `signal` ends it.
    pub fn spawn(
        signal: &'static str,
        folder: Option<&Path>,
        command: &[OsString],
        configure: impl FnOnce(&mut Command),
    ) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", SCRIPT, "watcher", signal]);
        shell.arg(folder.map_or(OsStr::new(""), Path::as_os_str)).args(command);
        configure(&mut shell);
        // A Ctrl-C at the terminal goes to the test only. Its end closes the pipe.
        let child = shell.stdin(Stdio::piped()).process_group(0).spawn();
        Self {
            child: child.expect("/bin/sh is installed"),
            signal,
            folder: folder.map(Path::to_owned),
        }
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the process, for access to its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends a signal, such as `STOP`, to the process and all its children.
    pub fn signal(&self, signal: &str) {
        let mut pids = children_of(self.pid());
        pids.push(self.pid());
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        // Some may have ended in the meantime.
        let _ =
            Command::new("kill").arg("-s").arg(signal).args(pids).stderr(Stdio::null()).status();
    }

    /// Returns how the process ended, if it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until the process has ended.
    pub async fn ended(&mut self, what: &str) -> ExitStatus {
        until(format_args!("the end of {what}"), async || self.status()).await
    }

    /// Returns the output of a server.
    pub fn log(&self) -> String {
        let log = self.folder.as_ref().map(|folder| folder.join("log"));
        log.and_then(|log| std::fs::read_to_string(log).ok()).unwrap_or_default()
    }
}

/// Shows the output of a server so far.
impl fmt::Display for Supervised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.log())
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if self.signal == "KILL" {
                let _ = self.child.kill();
            } else {
                self.signal("CONT");
                let pid = self.pid().to_string();
                let _ = Command::new("kill").args(["-s", self.signal, &pid]).status();
            }
            let _ = self.child.wait();
        }
        if let Some(folder) = &self.folder {
            // The watcher deletes it as well.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Returns a command that does not run as root.
pub fn unprivileged(program: &str) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--", program]);
    command
}

/// Returns a loopback port that is free now.
///
/// It is outside the range of the system's ephemeral ports, and this process returns no port twice.
pub fn free_port() -> u16 {
    static DRAWN: AtomicU32 = AtomicU32::new(0);
    loop {
        let drawn = DRAWN.fetch_add(1, Ordering::Relaxed);
        // Linux uses ports from 32768 on.
        let port = 20_000 + std::process::id().wrapping_mul(101).wrapping_add(drawn) % 12_000;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Waits until a server listens on a loopback port.
pub fn await_port(port: u16, server: &Supervised) {
    until_blocking(format_args!("a listener on {port}: {server}"), || is_open(port).then_some(()));
}

/// Waits until nothing listens on a loopback port.
pub fn await_no_port(port: u16) {
    until_blocking(format_args!("no listener on {port}"), || (!is_open(port)).then_some(()));
}

fn is_open(port: u16) -> bool {
    TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok()
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
