//! The databases that the service runs on, and a look past it at what it stored there.

use std::path::PathBuf;

use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection};

use crate::support::postgres::Cluster;
use crate::support::service::Setup;

/// A database of its own for one case.
#[derive(Debug)]
pub(crate) enum Database {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Database {
    /// The embedded one, where the service makes it by default.
    pub(crate) async fn sqlite() -> (Self, Setup) {
        let setup = Setup::new();
        let file = setup.folder().join("data/token-authority.db");
        (Self::Sqlite(file), setup)
    }

    /// An empty one on the cluster that the tests share.
    pub(crate) async fn postgres() -> (Self, Setup) {
        let cluster = Cluster::shared();
        Self::at(cluster.url(&cluster.make_database().await))
    }

    /// An existing one.
    pub(crate) fn at(url: String) -> (Self, Setup) {
        let setup = Setup::new().set("DATABASE_URL", &url);
        (Self::Postgres(url), setup)
    }

    /// The URL of a Postgres.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => panic!("{} is no Postgres", file.display()),
            Self::Postgres(url) => url.clone(),
        }
    }

    /// How many sessions are stored.
    pub(crate) async fn count(&self) -> i64 {
        const COUNT: &str = "SELECT count(*) FROM user_sessions";
        match self {
            Self::Sqlite(file) => {
                let mut connection = open(file).await;
                sqlx::query(COUNT).fetch_one(&mut connection).await.unwrap().get(0)
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sqlx::query(COUNT).fetch_one(&mut connection).await.unwrap().get(0)
            }
        }
    }

    /// How many refresh tokens were minted after a session's first.
    pub(crate) async fn generation(&self, session_id: &str) -> i64 {
        match self {
            Self::Sqlite(file) => {
                let mut connection = open(file).await;
                sqlx::query("SELECT generation FROM user_sessions WHERE id = $1")
                    .bind(session_id)
                    .fetch_one(&mut connection)
                    .await
                    .unwrap()
                    .get(0)
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sqlx::query("SELECT generation FROM user_sessions WHERE id::text = $1")
                    .bind(session_id)
                    .fetch_one(&mut connection)
                    .await
                    .unwrap()
                    .get(0)
            }
        }
    }
}

async fn open(file: &PathBuf) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    SqliteConnection::connect_with(&options).await.unwrap()
}
