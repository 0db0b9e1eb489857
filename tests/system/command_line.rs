//! The command line: its help, its tips, completions and the manual page.

use test_support::replica::Setup;
use test_support::tools;

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Setup::new().run(arguments);
    (output.status.code(), tools::text(&[output.stdout, output.stderr].concat()))
}

#[test]
fn a_subcommands_help_shows_its_own_options_alone() {
    for (arguments, own) in [
        (&["rollout", "set", "--help"][..], "--jwt-enabled"),
        (&["sessions", "revoke", "--help"], "--except"),
        (&["keys", "rotate", "--help"], "--compromised"),
        (&["callers", "add", "--help"], "--san"),
        (&["try", "--help"], "--api-key-file"),
        (&["--help"], "--help-settings"),
    ] {
        let (code, text) = run(arguments);
        assert_eq!(code, Some(0));
        assert!(text.contains(own) && text.contains("--help-settings"), "{text}");
        assert!(!text.contains("--jwt-issuer") && text.lines().count() < 40, "{text}");
    }
    // The settings are shown wherever the flag is, and never with their values.
    let setup =
        Setup::new().set("OTEL_EXPORTER_OTLP_ENDPOINT", "http://app:hunter2@collector:4317");
    for arguments in [&["--help-settings"][..], &["keys", "--help-settings"]] {
        let output = setup.run(arguments);
        let text = tools::text(&output.stdout);
        assert!(output.status.success() && text.contains("--jwt-issuer"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn usage_lines_are_true() {
    let (_, text) = run(&["rollout", "set", "--help"]);
    assert!(text.contains("set [OPTIONS] <PERCENTAGE|--jwt-enabled <true|false>>"), "{text}");
    let setup = Setup::new();
    assert!(setup.run(&["migrate"]).status.success());
    for arguments in [&["rollout", "set", "5"][..], &["rollout", "set", "--jwt-enabled", "false"]] {
        let output = setup.run(arguments);
        assert!(output.status.success(), "{}", tools::text(&output.stderr));
    }
    for arguments in [&["rollout", "set"][..], &["sessions", "revoke"]] {
        assert_eq!(run(arguments).0, Some(64), "{arguments:?}");
    }
}

#[test]
fn a_tip_names_a_near_miss_or_nothing() {
    for (arguments, tip) in [
        (&["--jwt-isuer", "x"][..], Some("'--jwt-issuer'")),
        (&["server"], Some("'serve'")),
        (&["keys", "rotat"], Some("'rotate'")),
        (&["frobnicate"], None),
        (&["--frobnicate"], None),
    ] {
        let (code, text) = run(arguments);
        assert_eq!(code, Some(64), "{text}");
        match tip {
            Some(tip) => assert!(text.contains(tip), "{text}"),
            None => assert!(!text.contains("tip:"), "{text}"),
        }
    }
}

#[test]
fn completions_and_the_manual_name_every_subcommand_and_setting() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, text) = run(&["completions", shell]);
        assert_eq!(code, Some(0), "{text}");
        for word in ["rotate", "revoke", "jwt-issuer"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    let (code, page) = run(&["man"]);
    assert_eq!(code, Some(0));
    for part in [".TH token-authority", ".SS keys rotate", ".SS callers add", "jwt\\-issuer"] {
        assert!(page.contains(part), "{part}");
    }
    let script = run(&["completions", "bash"]).1;
    let mut bash = std::process::Command::new(tools::path("bash"));
    bash.args(["-c", "source /dev/stdin && complete -p token-authority"]);
    assert!(tools::feed(&mut bash, &script).contains("-F _token"));
}
