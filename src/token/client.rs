//! The device that logged in, for people to read in a list of sessions. It decides nothing.

use super::field::InvalidField;

/// What is known of a session's device. Empty texts are unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    user_agent: String,
    ip_address: String,
    device_name: String,
}

impl ClientInfo {
    /// Takes a device's description. Control characters are dropped, since browsers send what
    /// they like and none of it is worth refusing a login for.
    ///
    /// # Errors
    /// Where a text is longer than its field allows: 512, 64 and 128 bytes.
    pub fn new(
        user_agent: &str,
        ip_address: &str,
        device_name: &str,
    ) -> Result<Self, InvalidField> {
        Ok(Self {
            user_agent: printable(
                "client.user_agent",
                user_agent,
                512,
                "must be at most 512 bytes",
            )?,
            ip_address: printable("client.ip_address", ip_address, 64, "must be at most 64 bytes")?,
            device_name: printable(
                "client.device_name",
                device_name,
                128,
                "must be at most 128 bytes",
            )?,
        })
    }

    /// The `User-Agent` header at login.
    #[must_use]
    pub fn user_agent(&self) -> &str {
        &self.user_agent
    }

    /// The client's IP address at login.
    #[must_use]
    pub fn ip_address(&self) -> &str {
        &self.ip_address
    }

    /// The device's name as its user knows it.
    #[must_use]
    pub fn device_name(&self) -> &str {
        &self.device_name
    }
}

fn printable(
    field: &'static str,
    text: &str,
    most: usize,
    rule: &'static str,
) -> Result<String, InvalidField> {
    if text.len() > most {
        return Err(InvalidField::new(field, rule));
    }
    Ok(text.chars().filter(|c| !c.is_control()).collect())
}
