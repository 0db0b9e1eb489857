//! A temporary `PgBouncer` in transaction mode in front of a [`Cluster`].

use std::sync::OnceLock;

use crate::postgres::Cluster;
use crate::process::{Supervised, await_port, free_port};

/// A running `PgBouncer`.
#[derive(Debug)]
pub struct PgBouncer {
    server: Supervised,
    port: u16,
}

impl PgBouncer {
    /// Starts a `PgBouncer` with `pool_size` server connections for each database, and `more`
    /// settings.
    ///
    /// # Panics
    ///
    /// Panics if `PgBouncer` is not installed.
    pub fn start(cluster: &Cluster, pool_size: u32, more: &str) -> Self {
        let folder = Supervised::folder();
        let (port, server_port) = (free_port(), cluster.port());
        let settings = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={server_port} user=postgres\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = transaction\n\
             max_client_conn = 500\n\
             default_pool_size = {pool_size}\n\
             {more}\n"
        );
        let file = folder.join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let program = "/usr/sbin/pgbouncer";
        assert!(std::path::Path::new(program).exists(), "PgBouncer is not installed");
        let server = Supervised::start(&folder, "TERM", &[program, file.to_str().unwrap()]);
        await_port(port, &server);
        Self { server, port }
    }

    /// Halts it: it does not answer, and keeps its connections open.
    pub fn pause(&self) {
        self.server.signal("STOP");
    }

    /// Lets it continue.
    pub fn resume(&self) {
        self.server.signal("CONT");
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the instance that the tests of this process share, in front of the shared cluster.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PgBouncer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Cluster::shared(), 5, ""))
    }

    /// Returns the URL of one of the cluster's databases through it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }
}
