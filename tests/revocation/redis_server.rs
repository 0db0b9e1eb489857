//! A throw-away Redis.

use std::path::Path;

use test_support::process::{Supervised, await_port, free_port};

#[derive(Debug)]
pub(crate) struct RedisServer {
    _server: Supervised,
    pub(crate) port: u16,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::start_on(free_port())
    }

    pub(crate) fn start_on(port: u16) -> Self {
        let program = "/usr/bin/redis-server";
        assert!(Path::new(program).exists(), "redis-server is not installed");
        let (folder, text) = (Supervised::folder(), port.to_string());
        let command = [program, "--port", &text, "--bind", "127.0.0.1", "--save", ""];
        let server = Supervised::start(&folder, "TERM", &command);
        await_port(port, &server);
        Self { _server: server, port }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}
