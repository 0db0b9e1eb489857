//! Thousands of watchers on one replica.

use std::time::{Duration, Instant};

use test_support::measured::measured;
use test_support::postgres::Cluster;
use token_authority::transport::proto::v1;
use token_authority::transport::proto::v1::session_service_client::SessionServiceClient;
use tonic::{Code, Streaming};

use crate::replica::{Replica, channel};
use crate::watch::revocation;

const CONNECTIONS: usize = 20;
const STREAMS: usize = 100;
const NEWS: usize = 10;

type Stream = Streaming<v1::WatchRevocationsResponse>;

/// Opens all streams and reads their snapshots. From then on they receive every revocation.
async fn open_all(port: u16) -> Vec<Stream> {
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = SessionServiceClient::new(channel(port));
        let opening = (0..STREAMS).map(|_| {
            let mut client = client.clone();
            async move {
                let ask = v1::WatchRevocationsRequest::default();
                let mut stream = client.watch_revocations(ask).await.unwrap().into_inner();
                stream.message().await.unwrap().unwrap();
                stream
            }
        });
        streams.extend(futures::future::join_all(opening).await);
    }
    streams
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_are_all_told_and_let_go() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let mut a = Replica::start(&url, &[]).await;
    let issued = a.issue_many(NEWS).await;

    let streams = open_all(a.grpc).await;
    assert_eq!(streams.len(), 2000);

    let watching: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            tokio::spawn(async move {
                let mut told = 0;
                while told < NEWS {
                    let message = stream.message().await.unwrap().unwrap();
                    told += usize::from(revocation(&message).is_some());
                }
                (stream, Instant::now())
            })
        })
        .collect();
    let begun = Instant::now();
    for tokens in &issued {
        a.revoke(&tokens.session_id).await;
    }
    let answered = Instant::now();
    let mut streams = Vec::new();
    let mut last = answered;
    for watcher in watching {
        let (stream, told) = tokio::time::timeout(Duration::from_mins(1), watcher)
            .await
            .expect("some watchers missed a revocation")
            .unwrap();
        last = last.max(told);
        streams.push(stream);
    }
    let (delay, revoking) = (last - answered, answered - begun);
    measured(&format!(
        "{NEWS} revocations in {revoking:?}: the last of 2,000 watchers knew {delay:?} later"
    ));
    // The rest of the service continues.
    assert!(a.refuses(&issued[0].access_token).await);

    a.terminate();
    for mut stream in streams {
        let status = loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without an error"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
    a.ended().await;
    assert!(!a.log().contains("cut off"), "{}", a.log());
}
