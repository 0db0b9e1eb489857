//! A separate machine for the commands of a page: a file system with empty `/etc`, `/var/lib` and
//! `/backup`, and a network on which the usual ports are free.
//!
//! The commands of a page run one after another. Each shell continues with the environment of the
//! one before, as for a reader who pastes them.

use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use test_support::process::Supervised;
use test_support::replica::binary;
use test_support::tools::{self, root, text};
use test_support::until::{TIMEOUT, until_blocking};

/// Builds the file system and waits. `$1` is the new root, `$2` the folder of the programs.
const SET_UP: &str = r#"
ip link set lo up
mkdir -p "$1"
mount -t tmpfs none "$1"
for entry in /*; do
    name=${entry#/}
    if [ -L "$entry" ]; then cp -a "$entry" "$1/"
    elif [ -d "$entry" ] && ! [[ $name =~ ^(etc|home|proc|var)$ ]]; then
        mkdir "$1/$name" && mount --rbind "$entry" "$1/$name"
    fi
done
cp -a /etc "$1/" 2>/dev/null || [ -d "$1/etc" ]
mkdir "$1/proc"
mount -t proc proc "$1/proc"
mkdir -p "$1"/var/lib "$1"/var/tmp "$1"/backup "$1"/home/reader "$1"/opt
chmod 1777 "$1"/var/tmp
touch "$1/backup/.ready"
exec sleep infinity
"#;

/// A machine. Its processes end with it.
#[derive(Debug)]
pub(crate) struct Machine {
    _namespaces: Supervised,
    /// The first process inside, by its id outside. All others end with it.
    init: u32,
    folder: tempfile::TempDir,
    background: Vec<Supervised>,
}

impl Machine {
    /// Starts a machine. `programs` are the names and texts of programs in its path.
    pub(crate) fn start(programs: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        symlink(binary(), bin.join("token-authority")).unwrap();
        symlink(tools::path("grpcurl"), bin.join("grpcurl")).unwrap();
        for (name, program) in programs {
            std::fs::write(bin.join(name), program).unwrap();
            std::fs::set_permissions(bin.join(name), PermissionsExt::from_mode(0o755)).unwrap();
        }
        std::fs::write(folder.path().join("environment"), "cd /home/reader\n").unwrap();
        let new_root = folder.path().join("root");
        let mut command: Vec<OsString> = vec!["unshare".into()];
        let own = Command::new("id").arg("-u").output().unwrap();
        if own.stdout != b"0\n" {
            command.push("--map-root-user".into());
        }
        for argument in
            ["--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-euc", SET_UP, "-"]
        {
            command.push(argument.into());
        }
        command.push(new_root.clone().into());
        let namespaces = Supervised::spawn("KILL", None, &command, |shell| {
            shell.stdout(Stdio::null());
        });
        let init = until_blocking("the first process runs", || child_of(namespaces.pid()));
        let machine = Self { _namespaces: namespaces, init, folder, background: Vec::new() };
        let ready = || {
            let mut look = machine.enter();
            look.args(["test", "-e", "/backup/.ready"]).stderr(Stdio::null());
            look.status().unwrap().success().then_some(())
        };
        until_blocking("the machine is set up", ready);
        machine
    }

    /// Returns a command that runs inside.
    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.init)).args(["--mount", "--net", "--pid"]);
        command.arg("chroot").arg(self.folder.path().join("root"));
        command
    }

    /// Returns the file with the variables and the folder of the last shell.
    fn environment(&self) -> PathBuf {
        self.folder.path().join("environment")
    }

    /// Runs commands to their end.
    pub(crate) fn try_run(&self, commands: &str) -> Output {
        let mut command = self.enter();
        command.env_clear().env("PATH", self.path()).env("HOME", "/home/reader");
        let state = self.environment();
        let state = state.display();
        let commands = format!(
            "set -eu -o pipefail\n. '{state}'\n{commands}\n{{ export -p; echo \"cd '$PWD'\"; }} >'{state}'\n"
        );
        command.args(["bash", "-c", &commands]).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Runs commands, which must succeed, and returns what they print.
    pub(crate) fn run(&self, commands: &str) -> String {
        let output = self.try_run(commands);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{commands}\n{}\n{out}\n{err}", output.status);
        out
    }

    /// Starts commands that do not end. Later commands continue with their environment.
    pub(crate) fn start_in_background(&mut self, commands: &str) {
        let file = std::fs::File::create(self.log(self.background.len())).unwrap();
        let exports: Vec<_> = commands.lines().filter(|line| line.starts_with("export ")).collect();
        let enter = self.enter();
        let mut words = vec![enter.get_program().to_owned()];
        words.extend(enter.get_args().map(ToOwned::to_owned));
        words.extend(["bash", "-c"].map(OsString::from));
        // The next shells write the file while this one reads it.
        let state = std::fs::read_to_string(self.environment()).unwrap();
        words.push(format!("set -eu -o pipefail\n{state}\n{commands}\n").into());
        let path = self.path();
        self.background.push(Supervised::spawn("TERM", None, &words, |shell| {
            shell.env_clear().env("PATH", path).env("HOME", "/home/reader");
            shell.stdout(file.try_clone().unwrap()).stderr(file);
        }));
        self.run(&exports.join("\n"));
    }

    /// Ends the commands in the background.
    pub(crate) fn stop(&mut self) {
        // Only the machine's own processes are in its namespace.
        self.run("pkill --exact token-authority");
        for mut one in self.background.drain(..) {
            until_blocking("the service ends", || one.status());
        }
    }

    /// Waits until commands succeed.
    pub(crate) fn until(&self, commands: &str) {
        let deadline = Instant::now() + TIMEOUT;
        while !self.try_run(commands).status.success() {
            let logs = (0..self.background.len()).map(|n| std::fs::read_to_string(self.log(n)));
            assert!(
                Instant::now() < deadline,
                "{commands}: in vain\n{logs:?}",
                logs = logs.collect::<Vec<_>>()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn log(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("log-{number}"))
    }

    fn path(&self) -> String {
        format!("{}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", self.folder.path().display())
    }
}

fn child_of(pid: u32) -> Option<u32> {
    let pid = pid.to_string();
    let found = Command::new("ps").args(["-o", "pid=", "--ppid", &pid]).output().unwrap();
    // The watcher of the test's process is another child, a shell.
    let pids = text(&found.stdout);
    let is_init = |pid: &&str| {
        let own = std::fs::read_link(format!("/proc/{pid}/ns/pid"));
        own.ok() != std::fs::read_link("/proc/self/ns/pid").ok()
    };
    pids.split_whitespace().find(is_init)?.parse().ok()
}

/// Returns the shell's `cargo`. It uses the build of the tests instead of the one that the reader
/// waits for.
pub(crate) const CARGO: (&str, &str) = (
    "cargo",
    "#!/bin/sh\n\
     case \"$*\" in\n\
     'run --release') exec token-authority ;;\n\
     'run --release -- '*) shift 3; exec token-authority \"$@\" ;;\n\
     *) echo \"cargo $*: not in the documents\" >&2; exit 64 ;;\n\
     esac\n",
);

/// Returns the path of the repository, in which the commands of some pages run.
pub(crate) fn in_repository() -> String {
    format!("cd '{}'", root().display())
}
