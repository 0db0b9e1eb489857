//! Independent verifiers. Each caches the key set for the given time and does not ask earlier, so a
//! key that signs before it was published long enough causes a refusal.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use test_support::process::{Supervised, await_port, free_port};
use test_support::script::Script;
use test_support::tools;
use test_support::until::TIMEOUT;

/// `PyJWT`. It caches the set for its `max-age`.
const PYTHON: &str = r#"
import json, re, sys, time, urllib.request, jwt
url, fetched, life, keys = sys.argv[1], None, 0, {}
for line in sys.stdin:
    token = line.strip()
    try:
        if fetched is None or time.monotonic() >= fetched + life:
            fetched = time.monotonic()
            with urllib.request.urlopen(url) as answer:
                life = int(re.search(r"max-age=(\d+)", answer.headers["Cache-Control"]).group(1))
                keys = {key.key_id: key for key in jwt.PyJWKSet.from_json(answer.read().decode()).keys}
        head = jwt.get_unverified_header(token)
        key = keys[head["kid"]]
        claims = jwt.decode(token, key, algorithms=[key.algorithm_name])
        assert head["typ"] == "at+jwt" and claims["type"] == "access", head
        print("ok", flush=True)
    except Exception as error:
        print(repr(error), flush=True)
"#;

/// jose. It caches the set for the given time, and does not ask for an unknown key.
const NODE: &str = r#"
const { createRemoteJWKSet, jwtVerify } = require("jose");
const { createInterface } = require("node:readline");
const [url, maxAge] = process.argv.slice(1);
const keys = createRemoteJWKSet(new URL(url), { cacheMaxAge: Number(maxAge), cooldownDuration: 1e9 });
(async () => {
  for await (const token of createInterface({ input: process.stdin })) {
    try {
      await jwtVerify(token, keys, { typ: "at+jwt", algorithms: ["EdDSA", "ES256", "RS256"] });
      console.log("ok");
    } catch (error) {
      console.log(String(error));
    }
  }
})();
"#;

/// A verifier with a key set.
pub(crate) trait Verifier: Send {
    /// Returns its name.
    fn name(&self) -> &'static str;
    /// Returns why it refuses a token. `None`: it accepts the token.
    fn refuses(&mut self, token: &str) -> Option<String>;
}

/// A program with a library. It answers line by line.
pub(crate) struct Library {
    name: &'static str,
    script: Script,
}

impl Library {
    /// Starts `PyJWT`.
    pub(crate) fn pyjwt(set: &str) -> Self {
        Self { name: "PyJWT", script: Script::python(&["-c", PYTHON, set]) }
    }

    /// Starts jose.
    pub(crate) fn jose(set: &str, max_age: Duration) -> Self {
        let mut command = Command::new("node");
        command.env("NODE_PATH", tools::path("modules"));
        let max_age = max_age.as_millis().to_string();
        Self { name: "jose", script: Script::start(command.args(["-e", NODE, set, &max_age])) }
    }
}

impl Verifier for Library {
    fn name(&self) -> &'static str {
        self.name
    }

    fn refuses(&mut self, token: &str) -> Option<String> {
        let answer = self.script.ask(token);
        (answer.trim() != "ok").then(|| answer.trim().to_owned())
    }
}

/// An Envoy that forwards requests to a service only with a valid token.
pub(crate) struct Envoy {
    address: SocketAddr,
    _running: Supervised,
}

impl Envoy {
    /// Starts an Envoy in front of a replica's HTTP port. It caches the key set for that long.
    pub(crate) fn before(http: SocketAddr, cache: Duration) -> Self {
        let (folder, port) = (Supervised::folder(), free_port());
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let config = folder.join("envoy.json");
        std::fs::write(&config, configuration(address, http, cache)).unwrap();
        let program = tools::path("envoy");
        let command = [
            program.to_str().unwrap(),
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "warning",
            "-c",
            config.to_str().unwrap(),
        ];
        let running = Supervised::start(&folder, "KILL", &command);
        await_port(port, &running);
        Self { address, _running: running }
    }
}

impl Verifier for Envoy {
    fn name(&self) -> &'static str {
        "Envoy"
    }

    fn refuses(&mut self, token: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        write!(
            stream,
            "GET /healthz HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        (!answer.starts_with("HTTP/1.1 200")).then_some(answer)
    }
}

fn configuration(listen: SocketAddr, http: SocketAddr, cache: Duration) -> String {
    let at = |address: SocketAddr| {
        let (host, port) = (address.ip().to_string(), address.port());
        serde_json::json!({ "socket_address": { "address": host, "port_value": port } })
    };
    let keys = serde_json::json!({
        "http_uri": {
            "uri": format!("http://{http}/.well-known/jwks.json"),
            "cluster": "authority",
            "timeout": "5s",
        },
        "cache_duration": format!("{}s", cache.as_secs()),
    });
    let authn = serde_json::json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": { "authority": { "remote_jwks": keys, "forward": true } },
        "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "authority" } }],
    });
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let route =
        serde_json::json!({ "match": { "prefix": "/" }, "route": { "cluster": "authority" } });
    let manager = serde_json::json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.\
                  http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [route] }] },
        "http_filters": [
            { "name": "envoy.filters.http.jwt_authn", "typed_config": authn },
            { "name": "envoy.filters.http.router", "typed_config": { "@type": router } },
        ],
    });
    let filter = serde_json::json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": manager,
    });
    let endpoint = serde_json::json!({ "endpoint": { "address": at(http) } });
    let cluster = serde_json::json!({
        "name": "authority",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "authority",
            "endpoints": [{ "lb_endpoints": [endpoint] }],
        },
    });
    let listener =
        serde_json::json!({ "address": at(listen), "filter_chains": [{ "filters": [filter] }] });
    let resources = serde_json::json!({ "listeners": [listener], "clusters": [cluster] });
    serde_json::json!({ "static_resources": resources }).to_string()
}
