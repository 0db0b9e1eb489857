//! The databases that the cases run on, each one empty and migrated.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use token_authority::store::rows::Schema;
use token_authority::store::{Rows, Store, postgres, sqlite};
use token_authority::token::rotation::Policy;

use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::Cluster;

/// A database for one case.
#[derive(Debug)]
pub(crate) struct Database {
    place: Place,
    pub(crate) rows: Arc<dyn Rows>,
}

#[derive(Debug)]
enum Place {
    Sqlite {
        path: PathBuf,
        _folder: TempDir,
    },
    /// The URL that the store uses, and the one that goes straight to the server.
    Postgres {
        url: String,
        direct: String,
    },
}

impl Database {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.db");
        Self::migrated(Place::Sqlite { path, _folder: folder }).await
    }

    pub(crate) async fn postgres() -> Self {
        let cluster = Cluster::shared();
        let direct = cluster.url(&cluster.make_database().await);
        Self::migrated(Place::Postgres { url: direct.clone(), direct }).await
    }

    pub(crate) async fn pgbouncer() -> Self {
        let cluster = Cluster::shared();
        let name = cluster.make_database().await;
        let url = PgBouncer::shared().url(&name);
        Self::migrated(Place::Postgres { url, direct: cluster.url(&name) }).await
    }

    async fn migrated(place: Place) -> Self {
        let rows = open(&place).await;
        assert_eq!(rows.migrate().await.unwrap(), Schema::Current);
        Self { place, rows }
    }

    /// Other connections to the same database, as another replica would have them.
    pub(crate) async fn replica(&self) -> Arc<dyn Rows> {
        open(&self.place).await
    }

    /// A store of its own over other connections to the same database.
    pub(crate) async fn store(&self, policy: Policy) -> Store {
        Store::new(self.replica().await, policy)
    }
}

async fn open(place: &Place) -> Arc<dyn Rows> {
    match place {
        Place::Sqlite { path, .. } => sqlite::open(path).await.unwrap(),
        Place::Postgres { url, .. } => postgres::connect(postgres::Options::new(url)).unwrap(),
    }
}
