//! The product's auth-server: a real Better Auth with real sessions and cookies.

use futures::{StreamExt as _, stream};
use http::Method;
use serde_json::json;
use test_support::http::{Answer, Http};
use test_support::replica::Replica;

use crate::program::Program;

/// The secret that Better Auth signs its cookies with.
pub(crate) const SECRET: &str = "better-auth-Zx3LqW8nB1vK6yTe0RmUo5JpGh7d";
/// The name of Better Auth's cookie.
const COOKIE: &str = "better-auth.session_token";
/// How many users sign up at once.
const AT_ONCE: usize = 16;

/// A running auth-server.
#[derive(Debug)]
pub(crate) struct AuthServer {
    program: Program,
}

/// The tokens of a user who has signed up.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) user_id: String,
    /// The session's token, as its row contains it.
    pub(crate) token: String,
    /// The same token as the value of its cookie: signed and percent-encoded.
    pub(crate) cookie: String,
}

/// The tokens that are issued when a session is moved.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl AuthServer {
    /// Starts it as it was before the migration, without token-authority.
    pub(crate) fn before_the_move(database: &str) -> Self {
        let settings = json!({ "database": database, "secret": SECRET, "authority": null });
        Self { program: Program::node("better_auth.mjs", &settings) }
    }

    /// Starts the version that moves sessions to these replicas.
    pub(crate) fn that_moves(database: &str, replicas: &[Replica]) -> Self {
        let addresses = replicas.iter().map(|replica| replica.grpc().to_string());
        let addresses: Vec<_> = addresses.collect();
        let settings = json!({
            "database": database,
            "secret": SECRET,
            "authority": format!("ipv4:{}", addresses.join(",")),
            "protos": concat!(env!("CARGO_MANIFEST_DIR"), "/proto"),
        });
        Self { program: Program::node("better_auth.mjs", &settings) }
    }

    /// Returns a client of it.
    pub(crate) fn http(&self) -> Http {
        self.program.http()
    }

    /// Signs that many users up.
    pub(crate) async fn sign_up(&self, many: usize) -> Vec<Member> {
        let http = self.http();
        let members = (0..many).map(|number| sign_up(http.clone(), number));
        stream::iter(members).buffered(AT_ONCE).collect().await
    }
}

async fn sign_up(http: Http, number: usize) -> Member {
    let ask = json!({
        "name": format!("User {number}"),
        "email": format!("user-{number}@example.com"),
        "password": format!("password of {number}"),
    });
    let path = "/api/auth/sign-up/email";
    let headers = [("content-type", "application/json")];
    let answer = http.exchange(Method::POST, path, &headers, ask.to_string()).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let (user_id, token) = (text(&told["user"]["id"]), text(&told["token"]));
    let cookie = cookie(&answer, COOKIE).expect("Better Auth sets its cookie");
    assert!(cookie.starts_with(&format!("{token}.")), "{cookie}");
    Member { user_id, token, cookie }
}

/// Returns the value that an answer sets for a cookie.
fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let all = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    let mut found = all.filter_map(|one| one.strip_prefix(name)?.strip_prefix('='));
    Some(found.next()?.split(';').next()?.to_owned())
}

impl Member {
    /// Moves a session, like a browser that has only its cookie.
    ///
    /// # Errors
    ///
    /// Returns the answer if it is refused.
    pub(crate) async fn move_over(&self, auth_server: &Http) -> Result<Moved, String> {
        let cookie = format!("{COOKIE}={}", self.cookie);
        let answer = auth_server.try_send(Method::POST, "/move", &[("cookie", &cookie)]).await?;
        if answer.status != 200 {
            return Err(format!("not moved over: {} {}", answer.status, answer.body));
        }
        let told = answer.json();
        assert_eq!(told["userId"], self.user_id.as_str());
        let access = told["accessToken"].as_str().unwrap().to_owned();
        Ok(Moved { access, refresh: answer.new_token().expect("a cookie is set") })
    }
}
