//! The operator's page: one machine on SQLite from the start to a restore, and Helm's commands.

use test_support::tools;

use crate::machine::{Machine, in_repository};
use crate::page::snippet;

const PAGE: &str = "docs/operations.md";

#[test]
fn one_machine_serves_is_backed_up_and_restored() {
    let mut machine = Machine::start(&[]);
    // The page begins with files that exist.
    machine.run(
        "umask 077; mkdir -p /etc/token-authority /var/lib/token-authority\n\
         openssl rand -base64 48 >/etc/token-authority/jwt-secret\n\
         openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=localhost \
           -addext subjectAltName=IP:127.0.0.1 -keyout /etc/token-authority/tls.key \
           -out /etc/token-authority/tls.pem 2>/dev/null\n\
         export CALLERS_FILE=/etc/token-authority/callers.json\n\
         token-authority callers add auth-server --preset auth-server >/home/reader/key",
    );
    machine.start_in_background(&snippet(PAGE, "export ENVIRONMENT"));
    machine.until("token-authority health");
    let log_in = "grpcurl -insecure -H \"authorization: Bearer $(cat /home/reader/key)\" \
                  -d '{\"user_id\": \"alice\"}' 127.0.0.1:50051 \
                  token_authority.v1.TokenAuthorityService/IssueTokens >/dev/null";
    machine.run(log_in);

    let doctor = machine.try_run(&snippet(PAGE, "token-authority doctor"));
    assert!(doctor.status.code() <= Some(1), "{}", tools::text(&doctor.stdout));
    machine.run(&snippet(PAGE, "token-authority backup"));
    machine.run(&snippet(PAGE, "token-authority sessions"));
    let live = "token-authority sessions list alice --json | grep -c session_id || true";
    assert_eq!(machine.run(live), "0\n", "all sessions were revoked");

    machine.stop();
    let restored = machine.try_run(&snippet(PAGE, "cd /var/lib"));
    assert!(restored.status.code() <= Some(1), "{}", tools::text(&restored.stdout));
    assert_eq!(machine.run(live), "1\n", "the backup holds the session");
}

/// Without a cluster: `kubectl create` prints the manifest, `helm install` and `helm upgrade` render
/// the chart, and `helm test` needs a test among the rendered manifests.
const CLUSTER: [(&str, &str); 2] = [
    (
        "kubectl",
        "#!/bin/sh\n[ \"$1 $2\" = 'create secret' ] || { echo \"kubectl $*\" >&2; exit 64; }\n\
         exec \"$REPOSITORY\"/target/tools/helm/kubectl \"$@\" --dry-run=client --output=yaml\n",
    ),
    (
        "helm",
        "#!/bin/bash\nset -eu\nhelm=$REPOSITORY/target/tools/helm/helm all=/home/reader/release\n\
         case $1 in\n\
         install) shift; printf '%s\\n' \"${@:3}\" >$all.values; \"$helm\" template \"$@\" >$all ;;\n\
         upgrade) shift; [ \"$3\" = --reuse-values ]; mapfile -t old <$all.values\n\
         \"$helm\" template \"$1\" \"$2\" --api-versions monitoring.coreos.com/v1 \"${old[@]}\" \"${@:4}\" >$all ;;\n\
         test) grep -q 'helm.sh/hook.*test' $all ;;\n\
         *) echo \"helm $*\" >&2; exit 64 ;;\n\
         esac\n",
    ),
];

#[test]
fn helm_installs_tests_and_watches() {
    let machine = Machine::start(&CLUSTER);
    machine.run(&format!("{}; export REPOSITORY=$PWD", in_repository()));
    // The page writes files beside the chart; the repository stays clean.
    machine.run("mkdir /home/reader/clone; cd /home/reader/clone; ln -s \"$REPOSITORY/helm\" helm");
    machine.run(&snippet(PAGE, "export CALLERS_FILE"));
    let rendered = machine.run("cat /home/reader/release");
    assert!(rendered.contains("registry.example.com/token-authority"), "{rendered}");
    machine.run(&snippet(PAGE, "helm upgrade"));
    let rendered = machine.run("cat /home/reader/release");
    for kind in ["ServiceMonitor", "PrometheusRule"] {
        assert!(rendered.contains(&format!("kind: {kind}")), "no {kind}");
    }
}
