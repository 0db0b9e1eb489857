//! A real `HAProxy`: in front of replicas over gRPC, or in front of databases over TCP.

use std::fmt::Write as _;
use std::net::SocketAddr;

use test_support::postgres::Cluster;
use test_support::process::{Supervised, await_port, free_port};
use test_support::replica::Replica;

/// A running `HAProxy`.
#[derive(Debug)]
pub(crate) struct HaProxy {
    process: Supervised,
    pub(crate) port: u16,
}

impl HaProxy {
    /// Distributes RPCs over the replicas that `/readyz` reports as ready, and does the same for
    /// browsers' requests on a port of their own.
    pub(crate) fn before_replicas(replicas: &[Replica]) -> (Self, SocketAddr) {
        let (port, browsers) = (free_port(), free_port());
        let mut settings = format!(
            "defaults\n  mode http\n  timeout connect 2s\n  timeout client 60s\n  \
             timeout server 60s\n  timeout check 5s\n\
             frontend grpc\n  bind 127.0.0.1:{port} proto h2\n  default_backend grpc\n\
             frontend http\n  bind 127.0.0.1:{browsers}\n  default_backend http\n"
        );
        for (backend, proto) in [("grpc", "proto h2 check-proto h1"), ("http", "")] {
            let _ = write!(
                settings,
                "backend {backend}\n  balance roundrobin\n  option httpchk GET /readyz\n  \
                 http-check expect status 200\n  \
                 default-server {proto} check inter 200ms fall 1 rise 1\n"
            );
            for (at, replica) in replicas.iter().enumerate() {
                let (grpc, http) = (replica.grpc().port(), replica.http_addr().port());
                let to = if backend == "grpc" { grpc } else { http };
                let _ = writeln!(settings, "  server replica{at} 127.0.0.1:{to} port {http}");
            }
        }
        (Self::start(port, &settings), SocketAddr::from(([127, 0, 0, 1], browsers)))
    }

    /// Forwards to the first database, and to the second while the first does not answer.
    pub(crate) fn before_databases(primary: &Cluster, standby: &Cluster) -> Self {
        let (port, first, second) = (free_port(), primary.port(), standby.port());
        let settings = format!(
            "defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1h\n  \
             timeout server 1h\n  timeout check 5s\n\
             listen databases\n  bind 127.0.0.1:{port}\n  \
             default-server check inter 200ms fall 1 rise 2 on-marked-down shutdown-sessions\n  \
             server primary 127.0.0.1:{first}\n  server standby 127.0.0.1:{second} backup\n"
        );
        Self::start(port, &settings)
    }

    fn start(port: u16, settings: &str) -> Self {
        let folder = Supervised::folder();
        let file = folder.join("haproxy.cfg");
        std::fs::write(&file, settings).unwrap();
        let program = "/usr/sbin/haproxy";
        assert!(std::path::Path::new(program).exists(), "HAProxy is not installed");
        let process =
            Supervised::start(&folder, "TERM", &[program, "-db", "-f", file.to_str().unwrap()]);
        await_port(port, &process);
        Self { process, port }
    }

    /// Returns its output.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}
