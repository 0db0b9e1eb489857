//! A setting: its name, its default and its meaning.

/// A setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The name of the environment variable. The flag of `NAME_OF_IT` is `--name-of-it`.
    pub name: &'static str,
    /// The default. `None`: the meaning says what an unset value means.
    pub default: Option<&'static str>,
    /// Whether the value is a secret. A secret can be given as `NAME_FILE` and is never printed.
    pub secret: bool,
    /// The meaning, with unit and bounds.
    pub help: &'static str,
}

pub(super) const fn plain(
    name: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, default: Some(default), secret: false, help }
}

pub(super) const fn optional(name: &'static str, help: &'static str) -> Setting {
    Setting { name, default: None, secret: false, help }
}

pub(super) const fn secret(name: &'static str, help: &'static str) -> Setting {
    Setting { name, default: None, secret: true, help }
}
