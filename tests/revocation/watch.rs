//! `WatchRevocations` as a verifier uses it: a snapshot, new revocations, a lost connection, and
//! resumption from the cursor.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use test_support::measured::measured;
use test_support::postgres::Cluster;
use test_support::proxy::{Mode, Proxy};
use token_authority::clock::{Clock as _, SystemClock};
use token_authority::transport::proto::v1;
use token_authority::transport::proto::v1::session_service_client::SessionServiceClient;
use token_authority::transport::proto::v1::watch_revocations_response::Event;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};

use crate::replica::{Replica, channel};

type Stream = Streaming<v1::WatchRevocationsResponse>;

/// Returns the revocation in a message, if it contains one.
pub(crate) fn revocation(message: &v1::WatchRevocationsResponse) -> Option<&v1::Revocation> {
    match message.event.as_ref().unwrap() {
        Event::Revocation(revocation) => Some(revocation),
        Event::Snapshot(_) | Event::Heartbeat(_) => None,
    }
}

/// A verifier: the revocations that it knows, how often it received each, and its cursor.
#[derive(Debug, Default)]
pub(crate) struct Verifier {
    pub(crate) told: BTreeMap<String, u32>,
    pub(crate) cursor: String,
    snapshots: u32,
}

impl Verifier {
    fn take_in(&mut self, message: v1::WatchRevocationsResponse) -> bool {
        assert!(!message.cursor.is_empty());
        self.cursor = message.cursor;
        match message.event.unwrap() {
            Event::Snapshot(snapshot) => {
                if !snapshot.continued {
                    self.snapshots += 1;
                    self.told.clear();
                }
                for revocation in snapshot.revocations {
                    *self.told.entry(revocation.session_id).or_default() += 1;
                }
                false
            }
            Event::Revocation(revocation) => {
                *self.told.entry(revocation.session_id).or_default() += 1;
                false
            }
            Event::Heartbeat(_) => true,
        }
    }

    /// Reads messages until it knows `many` revocations.
    async fn until(&mut self, stream: &mut Stream, many: usize) -> Result<(), Status> {
        let waiting = async {
            while self.told.len() < many {
                let message = stream.message().await?.expect("the stream does not end by itself");
                self.take_in(message);
            }
            Ok(())
        };
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .expect("revocations are missing")
    }

    /// Reads messages until a heartbeat confirms that these are all.
    async fn until_heartbeat(&mut self, stream: &mut Stream) {
        while !self.take_in(stream.message().await.unwrap().unwrap()) {}
    }

    fn doubled(&self) -> usize {
        self.told.values().filter(|told| **told > 1).count()
    }
}

/// Adds revocations to the feed quickly, as another replica would have.
async fn revoke_in_bulk(url: &str, many: usize) {
    let sql = format!(
        "INSERT INTO revocations
             (session_id, user_id, revoked_at, expires_at, reason, recorded_at)
         SELECT gen_random_uuid(), 'user-' || n, now(), now() + interval '30 min', 'admin',
                clock_timestamp()
         FROM generate_series(1, {many}) AS n"
    );
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_news_cut_and_on_from_the_cursor() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let (a, b) = (Replica::start(&url, &[]).await, Replica::start(&url, &[]).await);
    let proxy = Proxy::before(b.grpc).await;
    let mut through_proxy = SessionServiceClient::new(channel(proxy.port));
    // A pool may return a broken connection once, as it may for any verifier.
    let mut watch = async |cursor: &str| -> Stream {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let ask = v1::WatchRevocationsRequest { cursor: cursor.into() };
            match through_proxy.watch_revocations(ask).await {
                Ok(answer) => break answer.into_inner(),
                // An error from the server itself has no source.
                Err(lost) => {
                    assert!(lost.source().is_some() && Instant::now() < deadline, "{lost}");
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let issued = a.issue_many(120).await;
    let revoke = async |range: std::ops::Range<usize>| {
        for tokens in &issued[range] {
            a.revoke(&tokens.session_id).await;
        }
    };
    revoke(0..30).await;
    b.until_refused(&issued[29].access_token).await;

    let mut verifier = Verifier::default();
    let mut stream = watch("").await;
    verifier.until(&mut stream, 30).await.unwrap();
    revoke(30..50).await;
    verifier.until(&mut stream, 50).await.unwrap();
    for round in 0..3 {
        // The connection is cut during new revocations, so that some are lost on the way.
        let from = 50 + round * 20;
        let cutting = async {
            tokio::time::sleep(Duration::from_millis(40)).await;
            proxy.set(Mode::Cut);
        };
        let lost = async { verifier.until(&mut stream, 1000).await.unwrap_err() };
        let ((), (), _) = tokio::join!(revoke(from..from + 20), cutting, lost);
        proxy.set(Mode::Pass);
        stream = watch(&verifier.cursor).await;
        verifier.until(&mut stream, from + 20).await.unwrap();
    }
    verifier.until_heartbeat(&mut stream).await;
    assert_eq!((verifier.told.len(), verifier.snapshots), (110, 1));
    assert_eq!(verifier.doubled(), 0);

    // The cursor works at any replica. Some of the latest revocations may come again.
    revoke(110..120).await;
    let mut stream = a.watch(&verifier.cursor).await.unwrap();
    verifier.until_heartbeat(&mut stream).await;
    measured(&format!("at another replica {} of 110 came again", verifier.doubled()));
    assert_eq!((verifier.told.len(), verifier.snapshots), (120, 1));
    for tokens in &issued {
        assert!(verifier.told.contains_key(&tokens.session_id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_of_a_revocation_and_of_its_freshness() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let settings = [("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "5"), ("JWT_LEEWAY_SECONDS", "7")];
    let a = Replica::start(&url, &settings).await;
    let b = Replica::start(&url, &settings).await;
    let tokens = a.issue("Zoë").await;
    let mut stream = b.watch("").await.unwrap();
    let Event::Snapshot(empty) = stream.message().await.unwrap().unwrap().event.unwrap() else {
        panic!("the stream begins with a snapshot");
    };
    assert!(empty.revocations.is_empty() && !empty.continued);
    a.revoke(&tokens.session_id).await;
    let told = loop {
        let message = stream.message().await.unwrap().unwrap();
        if let Some(told) = revocation(&message) {
            break told.clone();
        }
    };
    assert_eq!((told.session_id, told.user_id.as_str()), (tokens.session_id, "Zoë"));
    assert_eq!(told.reason, i32::from(v1::RevocationReason::Admin));
    let seconds = told.expires_at.unwrap().seconds - told.revoked_at.unwrap().seconds;
    // The lifetime, the longest leeway of any verifier, and time for a request that is under way.
    assert!((610..630).contains(&seconds), "{seconds}");

    // The first heartbeat may be older than the revocation, but later ones are not.
    let revoked_at = told.revoked_at.unwrap();
    let mut before = (0, 0);
    for _ in 0..3 {
        let heartbeat = loop {
            let message = stream.message().await.unwrap().unwrap();
            if let Event::Heartbeat(heartbeat) = message.event.unwrap() {
                break heartbeat.as_of.unwrap();
            }
        };
        assert!((heartbeat.seconds, heartbeat.nanos) > before);
        before = (heartbeat.seconds, heartbeat.nanos);
    }
    assert!(before > (revoked_at.seconds, revoked_at.nanos));
    assert!(SystemClock.now().as_seconds() - before.0 <= 3, "heartbeats lag");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_cursors_are_refused_and_old_ones_begin_anew() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let a = Replica::start(&url, &[]).await;
    assert_eq!(a.watch("nonsense").await.unwrap_err().code(), Code::InvalidArgument);
    revoke_in_bulk(&url, 10).await;
    let mut verifier = Verifier::default();
    let mut stream = a.watch("").await.unwrap();
    verifier.until(&mut stream, 10).await.unwrap();
    verifier.until_heartbeat(&mut stream).await;
    // A cursor of another replica that is hours old.
    let mut old = vec![1_u8];
    old.extend(1_700_000_000_000_000_i64.to_be_bytes());
    old.extend([7; 16]);
    let old = URL_SAFE_NO_PAD.encode(old);
    let mut stream = a.watch(&old).await.unwrap();
    verifier.until_heartbeat(&mut stream).await;
    assert_eq!((verifier.snapshots, verifier.told.len()), (2, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_snapshot_comes_in_parts_and_a_slow_watcher_is_dropped() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let a = Replica::start(&url, &[]).await;
    revoke_in_bulk(&url, 5000).await;
    let mut verifier = Verifier::default();
    let mut stream = a.watch("").await.unwrap();
    verifier.until(&mut stream, 5000).await.unwrap();
    verifier.until_heartbeat(&mut stream).await;
    assert_eq!((verifier.told.len(), verifier.doubled()), (5000, 0));

    let before = verifier.told.clone();
    // This watcher reads nothing, while more revocations come than the buffer holds.
    let narrow = Endpoint::from_shared(format!("http://127.0.0.1:{}", a.grpc)).unwrap();
    let narrow = narrow.initial_stream_window_size(65_535).connect_lazy();
    let ask = v1::WatchRevocationsRequest { cursor: verifier.cursor.clone() };
    let mut slow = SessionServiceClient::new(narrow);
    let mut slow = slow.watch_revocations(ask).await.unwrap().into_inner();
    // Never more at once than the buffer holds, so that a reading watcher is not dropped on a slow
    // machine.
    for known in [15_000, 25_000, 35_000] {
        revoke_in_bulk(&url, 10_000).await;
        verifier.until(&mut stream, known).await.unwrap();
    }
    assert_eq!(verifier.doubled(), 0);
    let mut late = Verifier::default();
    let dropped = late.until(&mut slow, usize::MAX).await.unwrap_err();
    assert_eq!(dropped.code(), Code::ResourceExhausted);
    assert!(dropped.message().contains("too slow"), "{dropped:?}");
    let got = late.told.len();
    measured(&format!("the slow watcher got {got} of 30,000 before it was dropped"));
    let mut again = a.watch(&late.cursor).await.unwrap();
    late.until_heartbeat(&mut again).await;
    for id in verifier.told.keys().filter(|id| !before.contains_key(*id)) {
        assert!(late.told.contains_key(id), "{id} was missed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_at_once_when_its_replica_does() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let mut a = Replica::start(&url, &[]).await;
    let mut stream = a.watch("").await.unwrap();
    stream.message().await.unwrap().unwrap();
    a.terminate();
    let begun = Instant::now();
    let status = loop {
        if let Err(status) = stream.message().await {
            break status;
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let ended = a.ended().await;
    measured(&format!("watcher told after {:?}, replica ended {ended:?} later", begun.elapsed()));
    // The grace period did not have to end the stream.
    assert!(!a.log().contains("cut off"), "{}", a.log());
}
