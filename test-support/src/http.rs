//! A plain HTTP client: it keeps no cookies and follows no redirects.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Http {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A server's answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Http {
    /// Creates a client of the server at that address.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends a request.
    ///
    /// # Errors
    ///
    /// Returns the client's error if no answer comes.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, String> {
        self.exchange(method, path, headers, Bytes::new()).await
    }

    /// Sends a form, and expects an answer.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = form_urlencoded::Serializer::new(String::new());
        let body = form.extend_pairs(fields).finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.exchange(Method::POST, path, &headers, body).await.unwrap()
    }

    /// Sends a request with a body.
    ///
    /// # Errors
    ///
    /// Returns the client's error if no answer comes.
    pub async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let mut request =
            Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let response = self.client.request(request).await.map_err(|error| format!("{error:?}"))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// Sends a request, and expects an answer.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.try_send(method, path, headers).await.unwrap()
    }

    /// Fetches a page.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[]).await
    }

    /// Refreshes with the cookie, as a browser does.
    pub async fn refresh(&self, token: &str) -> Answer {
        let cookie = format!("refreshToken={token}");
        self.send(Method::POST, "/api/auth/refresh", &[("cookie", &cookie)]).await
    }

    /// Logs out with the cookie, as a browser does.
    pub async fn logout(&self, token: &str) -> Answer {
        let cookie = format!("refreshToken={token}");
        self.send(Method::POST, "/api/auth/logout", &[("cookie", &cookie)]).await
    }
}

impl Answer {
    /// Returns the body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// Returns a header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Returns the refresh token that the answer sets as a cookie.
    pub fn new_token(&self) -> Option<String> {
        let cookie = self.header("set-cookie")?.strip_prefix("refreshToken=")?;
        Some(cookie.split(';').next()?.to_owned())
    }
}
