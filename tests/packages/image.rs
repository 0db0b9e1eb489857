//! The image: the settings of the Dockerfile, and a service that starts from nothing but its files.

use std::ffi::OsString;
use std::fs::File;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use test_support::process::Supervised;
use test_support::until::until_blocking;

use crate::{package, root, succeed};

/// Starts the image as an engine would: in a root, a network and a process table of its own, as its
/// user and with its settings. `$1` is the root, `$2` the user, the others are the settings, `--`, and
/// the command. Fails unless `health` succeeds.
const LIFE: &str = r#"
root=$1 user=$2 settings=(); shift 2
while [ "$1" != -- ]; do settings+=("$1"); shift; done; shift
run=(env -i "${settings[@]}" "$(command -v chroot)" ${user:+"--userspec=$user"} "$root")
ip link set lo up
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
"${run[@]}" token-authority callers add auth-server --preset auth-server
"${run[@]}" token-authority migrate
"${run[@]}" "$@" & service=$!
for _ in $(seq 300); do ! "${run[@]}" token-authority health || break; sleep 0.1; done
"${run[@]}" token-authority health
kill "$service"
wait "$service"
"#;

/// What production needs besides the image's own settings.
const ADDED: [&str; 4] = [
    "JWT_SECRET=kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=",
    "CALLERS_FILE=/var/lib/token-authority/callers.json",
    "TLS=off",
    "SHUTDOWN_DELAY_SECONDS=0",
];

fn is_root() -> bool {
    succeed(Command::new("id").arg("-u")).trim() == "0"
}

/// Unpacks the image as an engine does: a root, and the process to start in it.
fn unpacked() -> (TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    std::fs::create_dir(&layout).unwrap();
    let mut tar = Command::new("tar");
    succeed(tar.arg("-xf").arg(package(".tar")).arg("-C").arg(&layout));
    let mut unpack = Command::new("umoci");
    unpack.arg("unpack");
    if !is_root() {
        unpack.arg("--rootless");
    }
    let name = concat!("layout:token-authority:", env!("CARGO_PKG_VERSION"));
    succeed(unpack.args(["--image", name, "bundle"]).current_dir(folder.path()));
    let bundle = std::fs::read(folder.path().join("bundle/config.json")).unwrap();
    let bundle: Value = serde_json::from_slice(&bundle).unwrap();
    (folder, bundle["process"].clone())
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

#[test]
fn its_service_starts_from_an_empty_root_as_its_user() {
    let (folder, process) = unpacked();
    let files = folder.path().join("bundle/rootfs");
    let mut life = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"].to_vec();
    life.push(if is_root() { "--ipc" } else { "--map-root-user" });
    life.extend(["bash", "-euc", LIFE, "-", files.to_str().unwrap()]);
    // Without the rights of root, one user alone can be mapped.
    let user = format!("{}:{}", process["user"]["uid"], process["user"]["gid"]);
    life.push(if is_root() { &user } else { "" });
    life.extend(words(&process["env"]));
    life.extend(ADDED);
    life.push("--");
    life.extend(words(&process["args"]));
    let life: Vec<OsString> = life.into_iter().map(OsString::from).collect();
    let log = folder.path().join("log");
    let output = File::create(&log).unwrap();
    let mut life = Supervised::spawn("KILL", None, &life, |shell| {
        shell.stdout(output.try_clone().unwrap()).stderr(output);
    });
    let ended = until_blocking("the service started and ended", || life.status());
    assert!(ended.success(), "{}", std::fs::read_to_string(log).unwrap());
    let written = files.join("var/lib/token-authority/token-authority.db");
    assert!(written.is_file(), "the service writes to its volume");
}

#[test]
fn its_settings_are_those_of_the_dockerfile() {
    let mut inspect = Command::new("skopeo");
    inspect.args(["inspect", "--config"]);
    let archive = format!("oci-archive:{}", package(".tar").display());
    let image: Value = serde_json::from_str(&succeed(inspect.arg(archive))).unwrap();
    let image = &image["config"];
    let file = std::fs::read_to_string(root().join("Dockerfile")).unwrap().replace("\\\n", " ");
    let last = |name: &str| {
        let found = file.lines().rev().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name}")).split_whitespace().collect::<Vec<_>>()
    };
    let settings = words(&image["Env"]);
    let of_engine = |setting: &&str| setting.starts_with("PATH=");
    assert_eq!(
        settings.iter().copied().filter(|one| !of_engine(one)).collect::<Vec<_>>(),
        last("ENV ")
    );
    assert_eq!(image["User"], last("USER ")[0]);
    for (ours, theirs) in [("Entrypoint", "ENTRYPOINT "), ("Cmd", "CMD ")] {
        assert_eq!(image[ours], serde_json::from_str::<Value>(last(theirs)[0]).unwrap());
    }
    assert!(image["Volumes"].get(last("VOLUME ")[0]).is_some(), "{image}");
    for port in last("EXPOSE ") {
        assert!(image["ExposedPorts"].get(format!("{port}/tcp")).is_some(), "{port}: {image}");
    }
}

/// Runs the page's command, with a folder instead of a registry.
#[test]
fn the_command_that_pushes_it_reads_it() {
    let page = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let (_, command) = page.split_once("```sh\nskopeo copy").unwrap();
    let (command, _) = command.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pushed = folder.path().join("pushed");
    let command = format!("skopeo copy{command}")
        .replace("target/packages", package(".tar").parent().unwrap().to_str().unwrap())
        .replace(
            "docker://registry.example.com/token-authority:0.1.0",
            &format!("dir:{}", pushed.display()),
        );
    succeed(Command::new("bash").args(["-euc", &command]));
    assert!(pushed.join("manifest.json").is_file());
}

#[test]
fn it_holds_the_certificates_of_public_authorities() {
    let (folder, _) = unpacked();
    let bundle = folder.path().join("bundle/rootfs/etc/ssl/certs/ca-certificates.crt");
    let bundle = std::fs::read_to_string(bundle).unwrap();
    assert!(bundle.matches("-----BEGIN CERTIFICATE-----").count() > 50);
}
