//! A description of the device that logged in, for people who read a list of sessions. No decision
//! depends on it.

/// The longest `User-Agent` that is stored, in bytes.
const MAX_USER_AGENT: usize = 512;
/// The longest IP address that is stored, in bytes.
const MAX_IP_ADDRESS: usize = 64;
/// The longest device name that is stored, in bytes.
const MAX_DEVICE_NAME: usize = 128;

/// The description of a session's device. An empty text is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    user_agent: String,
    ip_address: String,
    device_name: String,
}

impl ClientInfo {
    /// Takes a device's description. Drops control characters, and cuts a text that is longer than
    /// 512, 64 or 128 bytes at a character's boundary. Browsers and proxies send arbitrary text,
    /// which is no reason to refuse a login.
    #[must_use]
    pub fn new(user_agent: &str, ip_address: &str, device_name: &str) -> Self {
        Self {
            user_agent: printable(user_agent, MAX_USER_AGENT),
            ip_address: printable(first_address(ip_address), MAX_IP_ADDRESS),
            device_name: printable(device_name, MAX_DEVICE_NAME),
        }
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

    /// The name that the user gave the device.
    #[must_use]
    pub fn device_name(&self) -> &str {
        &self.device_name
    }
}

/// Returns the first of several addresses. Callers often pass on a whole `X-Forwarded-For` header,
/// which lists the client first and then the proxies.
fn first_address(addresses: &str) -> &str {
    addresses.split(',').map(str::trim).find(|one| !one.is_empty()).unwrap_or_default()
}

/// Drops control characters and keeps as many whole characters as fit into `max` bytes.
fn printable(text: &str, max: usize) -> String {
    let mut kept = String::with_capacity(text.len().min(max));
    for character in text.chars().filter(|character| !character.is_control()) {
        if kept.len() + character.len_utf8() > max {
            break;
        }
        kept.push(character);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_characters_boundary() {
        let long = "é".repeat(600);
        let client = ClientInfo::new(&long, &"x".repeat(65), &format!("a{long}"));
        assert_eq!(client.user_agent(), "é".repeat(256));
        assert_eq!(client.ip_address().len(), 64);
        assert_eq!(client.device_name(), format!("a{}", "é".repeat(63)));
        let emoji = ClientInfo::new("", "", &"🦀".repeat(33));
        assert_eq!(emoji.device_name(), "🦀".repeat(32));
    }

    #[test]
    fn control_characters_are_dropped_before_the_length_counts() {
        let client = ClientInfo::new("a\r\n\0b", "\u{7f}::1", &"\n".repeat(500));
        assert_eq!((client.user_agent(), client.ip_address()), ("ab", "::1"));
        assert_eq!(client.device_name(), "");
    }

    #[test]
    fn a_chain_of_addresses_is_reduced_to_the_client() {
        let address = |chain: &str| ClientInfo::new("", chain, "").ip_address().to_owned();
        assert_eq!(address("203.0.113.7, 10.0.0.1, 10.0.0.2"), "203.0.113.7");
        assert_eq!(address(" , 2001:db8::1,10.0.0.1"), "2001:db8::1");
        assert_eq!(address("203.0.113.7"), "203.0.113.7");
        assert_eq!(address(" ,"), "");
    }
}
