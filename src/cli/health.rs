//! `token-authority health`: checks whether the service on this machine reports SERVING.

use std::net::SocketAddr;
use std::time::Duration;

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::channel;
use crate::app::inspect::reachable;
use crate::config::Config;

const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) async fn run(config: Config) -> Result<(), String> {
    let address = reachable(config.grpc_addr);
    let encrypted = config.network.tls.is_some();
    let answer = tokio::time::timeout(PROBE_TIMEOUT, check(address, encrypted)).await;
    answer.unwrap_or_else(|_| Err(format!("{address} did not answer within 3 s")))
}

async fn check(address: SocketAddr, encrypted: bool) -> Result<(), String> {
    let channel = channel::grpc(address, encrypted).await?;
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel).check(request).await;
    let answer = answer.map_err(|status| format!("{address}: {}", status.code()))?.into_inner();
    match answer.status() {
        ServingStatus::Serving => Ok(()),
        status => Err(format!("{address}: {}", status.as_str_name())),
    }
}
