//! The real binary starts with the rendered containers: migrations, the service, its probes, and
//! the script of `helm test`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use test_support::postgres::Cluster;
use test_support::process::free_port;
use test_support::replica::{Replica, Setup};
use test_support::until::until_blocking;

use crate::helm::{Objects, text, tool};

const API_KEY: &str = "tak_p0Xn3vQm8sKd5wYc1rTb7uJf4hZg9eLa2iVoN6xMyRk";
/// `printf %s "$API_KEY" | sha256sum`
const API_KEY_SHA256: &str = "9cd96ef9c284f046deccc33545a9b9af8bad6ac97f7caaef297ca4fb114d51db";

/// A pod's volumes, mounted below a folder as by a kubelet.
struct Mounted {
    setup: Setup,
}

impl Mounted {
    /// Writes the keys of all Secrets that a pod mounts.
    fn of(pod: &Value, secrets: &[(&str, &str)]) -> Self {
        let mounted = Self { setup: Setup::new().bare() };
        let container = &pod["containers"][0];
        for mount in container["volumeMounts"].as_array().unwrap() {
            let place = mounted.place(mount["mountPath"].as_str().unwrap());
            std::fs::create_dir_all(&place).unwrap();
            let volumes = pod["volumes"].as_array().unwrap();
            let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
            for item in volume["secret"]["items"].as_array().into_iter().flatten() {
                let key = item["key"].as_str().unwrap();
                let (_, value) = secrets.iter().find(|(known, _)| *known == key).unwrap();
                std::fs::write(place.join(item["path"].as_str().unwrap()), value).unwrap();
            }
        }
        mounted
    }

    fn place(&self, path: &str) -> PathBuf {
        self.setup.folder().join(path.trim_start_matches('/'))
    }

    /// Returns the setup with the environment of one of the pod's containers.
    fn setup(&self, container: &Value) -> Setup {
        let pairs = container["env"].as_array().unwrap().iter();
        pairs.fold(self.setup.clone(), |setup, pair| {
            let value = pair["value"].as_str().unwrap();
            let is_path = value.starts_with("/etc/") || value.starts_with("/var/");
            let value =
                if is_path { self.place(value).display().to_string() } else { value.into() };
            setup.set(pair["name"].as_str().unwrap(), &value)
        })
    }
}

/// Returns the arguments of a container.
fn arguments(container: &Value) -> Vec<&str> {
    container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect()
}

fn migrate(mounted: &Mounted, container: &Value) {
    assert_eq!(arguments(container), ["migrate"]);
    mounted.setup(container).succeed(&["migrate"]);
}

/// Starts a pod's service, and waits until its startup probe succeeds.
fn start(mounted: &Mounted, container: &Value) -> Replica {
    let mut running = mounted.setup(container).spawn(&arguments(container));
    until_blocking("the startup probe succeeds", || {
        assert!(running.is_running(), "the service ended: {running}");
        probe(container, "startupProbe").then_some(())
    });
    running
}

/// Makes an HTTP probe like a kubelet.
fn probe(container: &Value, name: &str) -> bool {
    let probe = &container[name];
    assert!(probe["httpGet"].is_object(), "{name} is not an HTTP probe");
    let path = probe["httpGet"]["path"].as_str().unwrap();
    let port = port(container, probe["httpGet"]["port"].as_str().unwrap());
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let request = format!("GET {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.starts_with("HTTP/1.1 200 ")
}

fn port(container: &Value, name: &str) -> u16 {
    let ports = container["ports"].as_array().unwrap();
    let found = ports.iter().find(|port| port["name"] == name).unwrap();
    u16::try_from(found["containerPort"].as_u64().unwrap()).unwrap()
}

fn callers() -> String {
    format!(
        r#"{{"callers": [{{"name": "helm-test", "roles": ["issuer", "adapter", "verifier"],
            "keys_sha256": ["{API_KEY_SHA256}"]}}]}}"#
    )
}

fn secrets<'a>(callers: &'a str, database_url: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("jwt-secret", "mFv1Qd0s7Zk4Xb9TnWc2Rj6Lp8Ye3Ga5UhIoKxNzJqM=\n"),
        ("authority-secret", "t9Bq2Vn5Ck8Wm1Zx4Lr7Jp0Fd3Sg6HyUaEoIiQwRtPs=\n"),
        ("database-url", database_url),
        ("callers.json", callers),
    ]
}

fn free_ports() -> [String; 3] {
    ["grpc", "http", "metrics"].map(|name| format!("{name}.port={}", free_port()))
}

/// Runs the script of `helm test` against a service.
fn run_life(objects: &Objects, container: &Value) {
    let script = &objects.get("Pod")["spec"]["containers"][0];
    let command: Vec<_> =
        script["command"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
    let grpcurl = tool("python/bin/grpcurl");
    let folder = Path::new(grpcurl.get_program()).parent().unwrap();
    let flags = script["env"].as_array().unwrap().iter().find(|pair| pair["name"] == "FLAGS");
    let output = Command::new(command[0])
        .args(&command[1..])
        .arg(script["args"][0].as_str().unwrap())
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .env("AUTHORITY", format!("127.0.0.1:{}", port(container, "grpc")))
        .env("FLAGS", flags.unwrap()["value"].as_str().unwrap())
        .env("API_KEY", API_KEY)
        .output()
        .unwrap();
    let told = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert_eq!(told.lines().filter(|line| line.starts_with("ok: ")).count(), 3, "{told}");
}

#[tokio::test]
async fn on_postgres() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let ports = free_ports();
    let objects = Objects::of("postgres", &ports.each_ref().map(String::as_str));
    let pod = &objects.get("Deployment")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let callers = callers();
    let mounted = Mounted::of(pod, &secrets(&callers, &url));

    let unmigrated = mounted.setup(container).run(&arguments(container));
    assert!(!unmigrated.status.success(), "it started on an empty database");
    let job = &objects.get("Job")["spec"]["template"]["spec"];
    migrate(&Mounted::of(job, &secrets(&callers, &url)), &job["containers"][0]);
    let running = start(&mounted, container);
    assert!(probe(container, "livenessProbe"));
    for asked in ["health", "doctor"] {
        let output = mounted.setup(container).run(&[asked]);
        assert!(output.status.success(), "{asked}: {}", text(&output.stdout));
    }
    run_life(&objects, container);
    drop(running);
}

#[test]
fn on_sqlite() {
    let ports = free_ports();
    let objects = Objects::of("sqlite", &ports.each_ref().map(String::as_str));
    let pod = &objects.get("Deployment")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let callers = callers();
    let mounted = Mounted::of(pod, &secrets(&callers, ""));
    migrate(&mounted, &pod["initContainers"][0]);
    let running = start(&mounted, container);
    assert!(probe(container, "livenessProbe"));
    run_life(&objects, container);
    drop(running);
    // The database is in the volume.
    let database = mounted.place("/var/lib/token-authority/token-authority.db");
    assert!(database.exists(), "{}", database.display());
}
