//! A throw-away PgBouncer before a [`Cluster`].

use std::path::PathBuf;
use std::sync::OnceLock;

use super::postgres::Cluster;
use super::supervised::{Supervised, await_port, free_port};

/// A running PgBouncer.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    server: Supervised,
    settings: PathBuf,
    port: u16,
}

impl PgBouncer {
    /// Starts one with `pool_size` server connections a database, in mode `transaction` or
    /// `session`.
    ///
    /// # Panics
    /// Where PgBouncer is not installed.
    pub(crate) fn start(cluster: &Cluster, mode: &str, pool_size: u32) -> Self {
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
             pool_mode = {mode}\n\
             max_client_conn = 500\n\
             default_pool_size = {pool_size}\n"
        );
        let file = folder.join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let program = "/usr/sbin/pgbouncer";
        assert!(std::path::Path::new(program).exists(), "PgBouncer is not installed");
        let server = Supervised::start(&folder, "TERM", &[program, file.to_str().unwrap()]);
        await_port(port, &server);
        Self { server, settings: file, port }
    }

    /// Goes on with another setting.
    pub(crate) fn reload(&self, from: &str, to: &str) {
        let settings = std::fs::read_to_string(&self.settings).unwrap();
        assert!(settings.contains(from), "no {from} in {settings}");
        std::fs::write(&self.settings, settings.replace(from, to)).unwrap();
        self.server.signal("HUP");
    }

    /// The one that this process's tests share, before the shared cluster.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<PgBouncer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Cluster::shared(), "transaction", 5))
    }

    /// The URL of one of the cluster's databases through it.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }
}
