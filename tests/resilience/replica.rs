//! A replica of the service: the real binary, on ports that it keeps over a restart.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::supervised::free_port;

const JWT_SECRET: &str = "mFv1Qd0s7Zk4Xb9TnWc2Rj6Lp8Ye3Ga5UhIoKxNzJqM=";

/// For how many seconds a replica that is asked to end goes on serving.
pub(crate) const DRAIN_SECONDS: u64 = 2;

/// A replica.
#[derive(Debug)]
pub(crate) struct Replica {
    program: PathBuf,
    settings: Vec<(String, String)>,
    pub(crate) grpc: u16,
    pub(crate) http: u16,
    child: Option<Child>,
}

impl Replica {
    /// Starts this version on a database, and waits until it is ready.
    pub(crate) fn start(database_url: &str) -> Self {
        Self::start_program(Path::new(env!("CARGO_BIN_EXE_token-authority")), database_url)
    }

    /// Starts any version.
    pub(crate) fn start_program(program: &Path, database_url: &str) -> Self {
        let (grpc, http, metrics) = (free_port(), free_port(), free_port());
        let pair = |name: &str, value: String| (name.to_owned(), value);
        let settings = vec![
            pair("ENVIRONMENT", "development".into()),
            pair("DATABASE_URL", database_url.into()),
            pair("JWT_SECRET", JWT_SECRET.into()),
            pair("GRPC_ADDR", format!("127.0.0.1:{grpc}")),
            pair("HTTP_ADDR", format!("127.0.0.1:{http}")),
            pair("METRICS_ADDR", format!("127.0.0.1:{metrics}")),
            // Short, so that the tests' refreshes rotate.
            pair("REFRESH_CONCURRENCY_WINDOW_SECONDS", "1".into()),
            pair("SHUTDOWN_DELAY_SECONDS", DRAIN_SECONDS.to_string()),
            pair("SHUTDOWN_GRACE_SECONDS", "10".into()),
            pair("LOG_LEVEL", "error".into()),
        ];
        let mut replica = Self { program: program.to_owned(), settings, grpc, http, child: None };
        replica.start_again();
        replica
    }

    /// Starts it where it was.
    pub(crate) fn start_again(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("serve").env_clear().envs(self.settings.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.is_ready() {
            assert!(self.is_running(), "the replica ended");
            assert!(Instant::now() < deadline, "the replica never became ready");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts another version where it was, after [`Self::end`].
    pub(crate) fn become_program(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
        self.start_again();
    }

    /// Asks it to end, and waits until it has, as it should: by itself and without an error.
    pub(crate) fn end(&mut self) {
        let mut child = self.child.take().unwrap();
        let asked = Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status();
        assert!(asked.unwrap().success());
        assert!(child.wait().unwrap().success(), "the replica did not end well");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// What `/readyz` says.
    pub(crate) fn is_ready(&self) -> bool {
        use std::io::{Read as _, Write as _};
        let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", self.http)) else {
            return false;
        };
        let request = "GET /readyz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        let mut answer = String::new();
        stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200 ")
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
