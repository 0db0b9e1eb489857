//! The real Helm, and the objects that it renders.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The sets of values that the chart contains.
pub(crate) const SETS: [&str; 3] = ["sqlite", "postgres", "everything"];

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn chart() -> PathBuf {
    root().join("helm/token-authority")
}

pub(crate) fn values(set: &str) -> PathBuf {
    chart().join(format!("ci/{set}-values.yaml"))
}

/// A tool that scripts/tools has installed.
pub(crate) fn tool(path: &str) -> Command {
    let program = root().join("target/tools").join(path);
    assert!(program.exists(), "{} is missing: run scripts/tools", program.display());
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Renders the chart with one of its sets and further values (`name=value`).
pub(crate) fn try_template(set: &str, more: &[&str]) -> Output {
    let mut command = tool("helm/helm");
    command.args(["template", "prod"]).arg(chart()).arg("-f").arg(values(set));
    for value in more {
        command.args(["--set", value]);
    }
    command.output().unwrap()
}

pub(crate) fn template(set: &str, more: &[&str]) -> String {
    let output = try_template(set, more);
    assert!(output.status.success(), "{set} {more:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// The parsed objects.
#[derive(Debug)]
pub(crate) struct Objects(pub(crate) Vec<Value>);

impl Objects {
    pub(crate) fn of(set: &str, more: &[&str]) -> Self {
        Self::parse(&template(set, more))
    }

    /// Renders a set as for a cluster with `OpenShift`'s own API.
    pub(crate) fn on_openshift(set: &str) -> Self {
        let mut command = tool("helm/helm");
        command.args(["template", "prod"]).arg(chart()).arg("-f").arg(values(set));
        let output = command.args(["--api-versions", "security.openshift.io/v1"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        Self::parse(&text(&output.stdout))
    }

    fn parse(rendered: &str) -> Self {
        let documents: Vec<Option<Value>> = serde_saphyr::from_multiple(rendered).unwrap();
        Self(documents.into_iter().flatten().collect())
    }

    pub(crate) fn find(&self, kind: &str) -> Option<&Value> {
        self.0.iter().find(|object| object["kind"] == kind)
    }

    pub(crate) fn get(&self, kind: &str) -> &Value {
        self.find(kind).unwrap_or_else(|| panic!("no {kind} was rendered"))
    }

    /// Returns every pod's specification, with the kind of its owner.
    pub(crate) fn pods(&self) -> Vec<(&str, &Value)> {
        let pod = |object: &'_ Value| match object["kind"].as_str().unwrap() {
            "Deployment" | "Job" => Some("/spec/template/spec"),
            "Pod" => Some("/spec"),
            _ => None,
        };
        let found = self.0.iter().filter_map(|object| {
            let spec = object.pointer(pod(object)?)?;
            Some((object["kind"].as_str()?, spec))
        });
        found.collect()
    }
}

/// Returns every container of a pod.
pub(crate) fn containers(pod: &Value) -> Vec<&Value> {
    let lists = ["initContainers", "containers"].into_iter();
    lists.filter_map(|list| pod[list].as_array()).flatten().collect()
}
