//! A browser with a session, which refreshes over HTTP with its cookie.

use http::Method;
use test_support::http::Http;
use tonic::Status;

use crate::user::{Client, User};

/// A browser and the cookie in its jar.
#[derive(Debug, Clone)]
pub(crate) struct Browser {
    http: Http,
    cookie: String,
}

impl Browser {
    pub(crate) async fn log_in(client: &Client, http: &Http, name: &str) -> Result<Self, Status> {
        let cookie = User::log_in(client, name).await?.refresh_token;
        Ok(Self { http: http.clone(), cookie })
    }

    /// Refreshes. Returns whether the cookie changed.
    pub(crate) async fn refresh(&mut self) -> Result<bool, String> {
        let cookie = format!("refreshToken={}", self.cookie);
        let headers = [("cookie", cookie.as_str())];
        let answer = self.http.try_send(Method::POST, "/api/auth/refresh", &headers).await?;
        if answer.status != 200 {
            return Err(format!("HTTP {}: {}", answer.status, answer.body));
        }
        let cookie = answer.new_token();
        let changed = cookie.is_some();
        self.cookie = cookie.unwrap_or_else(|| std::mem::take(&mut self.cookie));
        Ok(changed)
    }
}
