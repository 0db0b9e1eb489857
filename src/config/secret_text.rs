//! Checks of a secret's text: invisible extras and references that nothing resolved.
//!
//! Backends embed `JWT_SECRET` and verify with its exact bytes. If only one of the two programs
//! strips a byte order mark, a blank or a quote, the backend refuses every token, and nothing
//! points to the cause.

use std::path::Path;

/// Characters that editors do not show.
const INVISIBLE: [char; 18] = [
    '\u{feff}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}',
    '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2060}', '\u{2066}', '\u{2069}',
    '\u{ad}', '\u{61c}',
];
/// Pairs of quotes that shells, `.env` files and editors put around a value.
const QUOTES: [(char, char); 7] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('\u{201c}', '\u{201d}'),
    ('\u{201e}', '\u{201c}'),
    ('\u{2018}', '\u{2019}'),
    ('\u{ab}', '\u{bb}'),
];

/// Prefixes of vaults and tools, compared in lower case. Base64 has no `:`, `[`, `(` or `@`.
const PREFIXES: [&str; 36] = [
    "vault:",
    "arn:",
    "enc[",
    "enc(",
    "ref+",
    "secret:",
    "secretref:",
    "secrets:",
    "ssm:",
    "sm:",
    "asm:",
    "awssm:",
    "awssecret:",
    "aws:",
    "aws-",
    "gcp:",
    "gcpsm:",
    "azure:",
    "azurekeyvault:",
    "akv:",
    "keyvault:",
    "keyvault(",
    "@microsoft.keyvault(",
    "@secret",
    "k8s:",
    "kubernetes:",
    "op:",
    "bw:",
    "bws:",
    "doppler:",
    "infisical:",
    "sops:",
    "env:",
    "!vault",
    "$ansible_vault;",
    "{cipher}",
];
/// Brackets that templates put around an expression.
const BRACKETS: [(&str, &str); 10] = [
    ("${", "}"),
    ("$(", ")"),
    ("{{", "}}"),
    ("{%", "%}"),
    ("#{", "}"),
    ("#{", "}#"),
    ("((", "))"),
    ("[[", "]]"),
    ("__", "__"),
    ("@@", "@@"),
];

/// Returns the invisible characters or quotes in a secret, described in words.
pub(super) fn invisible_extra(text: &str) -> Option<&'static str> {
    if text.starts_with('\u{feff}') {
        return Some("a byte order mark at its beginning");
    }
    if text.ends_with("\r\n") || text.ends_with(['\n', '\r']) {
        return Some("a line break at its end");
    }
    if text.contains(['\n', '\r']) {
        return Some("a line break");
    }
    if text.starts_with(char::is_whitespace) {
        return Some("a blank at its beginning");
    }
    if text.ends_with(char::is_whitespace) {
        return Some("a blank at its end");
    }
    if text.contains(char::is_control) {
        return Some("a control character");
    }
    if text.contains(INVISIBLE) {
        return Some("an invisible character");
    }
    let (first, last) = (text.chars().next()?, text.chars().next_back()?);
    let quoted = text.chars().count() > 1 && QUOTES.contains(&(first, last));
    quoted.then_some("quotes around it")
}

/// Returns the kind of reference that a text contains in place of a secret. A deployment tool or a
/// vault should have replaced it with the secret.
pub(super) fn unresolved_reference(text: &str) -> Option<&'static str> {
    let lower = text.trim().to_lowercase();
    if is_path(text) {
        return Some("a path");
    }
    if has_scheme(&lower) {
        return Some("a URL");
    }
    let is_bracketed = BRACKETS.iter().any(|(open, close)| {
        lower.len() > open.len() + close.len() && lower.starts_with(open) && lower.ends_with(close)
    });
    // A random secret may begin and end with one of these characters by chance.
    let inner = |open, close| lower.strip_prefix(open)?.strip_suffix(close);
    let is_expression = |inner: &str| !inner.is_empty() && inner.chars().all(is_expression_char);
    let is_placeholder = inner('<', '>').is_some_and(is_expression)
        || inner('%', '%').is_some_and(|name| name.bytes().all(is_name_byte))
        || inner('{', '}').is_some_and(|json| json.contains("\":"));
    let is_shell_variable = lower
        .strip_prefix('$')
        .is_some_and(|name| !name.is_empty() && name.bytes().all(is_name_byte));
    let is_resource = lower.starts_with("projects/") && lower.contains("/secrets/");
    let has_prefix = PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
    // CloudFormation and other YAML: `!Ref JwtSecret`. Drawn secrets have no blank.
    let is_tag = lower
        .strip_prefix('!')
        .is_some_and(|tag| tag.starts_with(|c: char| c.is_ascii_alphabetic()) && tag.contains(' '));
    let is_reference = is_bracketed
        || is_placeholder
        || is_shell_variable
        || is_resource
        || has_prefix
        || is_tag
        || is_prefixed_name(text.trim())
        || contains_template(text);
    is_reference.then_some("a reference that nothing has resolved")
}

/// Returns whether a text is a name after a prefix of any tool, such as `kms:alias/jwt-secret`: short
/// parts between separators, which a drawn secret does not have.
fn is_prefixed_name(text: &str) -> bool {
    let Some((prefix, name)) = text.split_once(':') else { return false };
    let is_prefix_byte =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.+".contains(&b);
    let is_prefix = (2..=24).contains(&prefix.len())
        && prefix.starts_with(|c: char| c.is_ascii_lowercase())
        && prefix.bytes().all(is_prefix_byte);
    let mut parts = name.split(['/', ':', '#', '.', '_', '-', '@']).filter(|part| !part.is_empty());
    let is_part = |part: &str| part.len() <= 20 && part.bytes().all(|b| b.is_ascii_alphanumeric());
    is_prefix && parts.clone().count() >= 2 && parts.all(is_part)
}

/// Returns whether a text contains a template's expression, such as `${DB_PASSWORD}`. URLs that
/// contain a secret are checked as well.
pub(super) fn contains_template(text: &str) -> bool {
    [("${", "}"), ("$(", ")"), ("{{", "}}"), ("<path:", ">")].iter().any(|(open, close)| {
        let Some((_, rest)) = text.split_once(open) else { return false };
        // A random password may contain these brackets, but rarely around a long name.
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_.:-/# ".contains(c);
        rest.split_once(close).is_some_and(|(inner, _)| {
            inner.len() > 3 && inner.contains(char::is_alphabetic) && inner.chars().all(is_name)
        })
    })
}

fn is_expression_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.:/-# \"'|".contains(c)
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn has_scheme(lower: &str) -> bool {
    lower.split_once("://").is_some_and(|(scheme, rest)| {
        let is_legal = |b: u8| b.is_ascii_alphanumeric() || b"+-._".contains(&b);
        !rest.is_empty() && !scheme.is_empty() && scheme.bytes().all(is_legal)
    })
}

/// Returns whether a text is a path. A base64 secret may begin with `/`, but it contains upper case
/// letters, and its first part is not a usual folder.
fn is_path(text: &str) -> bool {
    const ROOTS: [&str; 16] = [
        "run", "var", "etc", "mnt", "vault", "secrets", "secret", "tmp", "home", "opt", "usr",
        "root", "srv", "app", "data", "config",
    ];
    const EXTENSIONS: [&str; 8] =
        [".txt", ".pem", ".key", ".secret", ".json", ".env", ".yaml", ".yml"];
    let bytes = text.as_bytes();
    let has_drive = bytes.len() > 3
        && bytes[0].is_ascii_alphabetic()
        && bytes[1] == b':'
        && [b'\\', b'/'].contains(&bytes[2]);
    let is_path_byte = |b: u8| b.is_ascii_alphanumeric() || b"._-/\\: ".contains(&b);
    let is_relative = ["./", "../", "~/", "\\\\"].iter().any(|start| text.starts_with(start));
    if (has_drive || is_relative) && text.bytes().skip(1).all(is_path_byte) {
        return true;
    }
    let lower = text.to_ascii_lowercase();
    let has_extension = EXTENSIONS.iter().any(|extension| lower.ends_with(extension));
    let Some(rest) = text.strip_prefix('/') else { return has_extension };
    let root = rest.split('/').next().unwrap_or_default();
    let has_folder = rest.contains('/');
    has_extension
        || (has_folder && ROOTS.contains(&root))
        || (has_folder && !text.bytes().any(|b| b.is_ascii_uppercase()))
        || Path::new(text).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extras_that_nobody_sees_are_named() {
        for (text, extra) in [
            ("\u{feff}secret", "byte order mark"),
            ("secret\n", "line break at its end"),
            ("secret\r\n", "line break at its end"),
            ("sec\nret", "line break"),
            (" secret", "blank at its beginning"),
            ("secret\t", "blank at its end"),
            ("secret\u{a0}", "blank at its end"),
            ("sec\0ret", "control character"),
            ("sec\u{7f}ret", "control character"),
            ("sec\u{200b}ret", "invisible"),
            ("\"secret\"", "quotes"),
            ("'secret'", "quotes"),
            ("\u{201c}secret\u{201d}", "quotes"),
        ] {
            assert!(invisible_extra(text).is_some_and(|found| found.contains(extra)), "{text:?}");
        }
        for text in ["secret", "two words", "it's", "say \"hi\" now", "Grüße", "\""] {
            assert_eq!(invisible_extra(text), None, "{text:?}");
        }
    }

    #[test]
    fn references_are_found_by_their_syntax() {
        for text in [
            "<path:kv/data/prod/authority#jwt-secret>",
            "${JWT_SECRET}",
            "$JWT_SECRET",
            "$(JWT_SECRET)",
            "$(cat /run/secrets/jwt-secret)",
            "{{ .Values.secrets.jwtSecret }}",
            "{{resolve:secretsmanager:prod/jwt}}",
            "%JWT_SECRET%",
            "#{JWT_SECRET}#",
            "((jwt-secret))",
            "__JWT_SECRET__",
            "vault:secret/data/prod/authority#jwt",
            "op://production/authority/jwt-secret",
            "arn:aws:secretsmanager:eu-central-1:123456789012:secret:jwt",
            "ENC[AES256_GCM,data:Zm9v,iv:YmFy,tag:YmF6,type:str]",
            "ENC(G6N718UuyPE5bHyWKyuLQSm02auQPUtm)",
            "ref+vault://secret/prod#jwt",
            "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/jwt)",
            "https://v.vault.azure.net/secrets/jwt/0123456789abcdef",
            "projects/123456/secrets/jwt-secret/versions/latest",
            "{cipher}AQA7lnG4TxJk9y",
            "{\"jwt_secret\":\"kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa\"}",
            "prod-${JWT_SECRET_SUFFIX}-kJ8xv1Qn3mZ0tYb7RfW5",
            "/run/secrets/jwt-secret",
            "/var/run/secrets/token-authority/JWT_SECRET",
            "/Volumes/secrets/jwt.txt",
            "./secrets/jwt-secret-of-the-authority",
            "~/secrets/jwt",
            "C:\\secrets\\jwt.txt",
            "file:///run/secrets/jwt",
            "file:/run/secrets/jwt",
            "kms:alias/jwt-secret-of-the-authority",
            "aws_ssm:/prod/authority/jwt_secret",
            "sealed:production/authority#jwt.secret",
            "!Ref JwtSecretParameterOfTheStack",
            "!Sub '{{resolve:ssm:/prod/jwt}}'",
        ] {
            assert!(unresolved_reference(text).is_some(), "{text}");
        }
    }
}
