//! Helm lints the chart, and Kubernetes' schemas accept the rendered objects.

use crate::helm::{SETS, chart, template, text, tool, values};

/// The kinds that are not part of Kubernetes, for which there is no schema here.
const FOREIGN: [&str; 4] = ["ServiceMonitor", "PrometheusRule", "HTTPRoute", "ExternalSecret"];

const VERSIONS: [&str; 3] = ["1.31.0", "1.34.0", "1.37.0"];

#[test]
fn helm_lints_it() {
    for set in SETS {
        let mut command = tool("helm/helm");
        command.args(["lint", "--strict"]).arg(chart()).arg("-f").arg(values(set));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{set}: {}", text(&output.stdout));
    }
}

#[test]
fn kubernetes_accepts_it() {
    let folder = tempfile::tempdir().unwrap();
    for set in SETS {
        let file = folder.path().join(format!("{set}.yaml"));
        std::fs::write(&file, template(set, &[])).unwrap();
        for version in VERSIONS {
            let mut command = tool("python/bin/kubernetes-validate");
            let output = command.args(["--strict", "-k", version]).arg(&file).output().unwrap();
            let told = text(&output.stdout) + &text(&output.stderr);
            assert!(output.status.success(), "{set} on {version}: {told}");
            assert!(told.contains("passed for resource deployment/"), "{told}");
            // For an unknown or removed kind of Kubernetes there is only a warning.
            let warnings = told.lines().filter(|line| line.contains("WARN"));
            let own: Vec<_> = warnings
                .filter(|line| !FOREIGN.iter().any(|kind| line.contains(&format!("kind {kind} "))))
                .collect();
            assert!(own.is_empty(), "{set} on {version}: {own:?}");
        }
    }
}

#[test]
fn it_can_be_packaged_with_what_it_links_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tool("helm/helm");
    command.arg("package").arg(chart()).arg("--destination").arg(folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let package = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let mut command = tool("helm/helm");
    command.args(["template", "prod"]).arg(package).arg("-f").arg(values("everything"));
    let packaged = command.output().unwrap();
    assert_eq!(text(&packaged.stdout), template("everything", &[]));
}
