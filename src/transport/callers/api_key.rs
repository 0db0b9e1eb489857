//! The API key that a client of the gRPC services sends with each call.

use std::fmt;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// An API key to send, or none. It does not print.
#[derive(Clone, Default)]
pub struct ApiKey(Option<MetadataValue<Ascii>>);

/// The text has characters that no API key has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the API key contains characters that no API key has")]
pub struct NoApiKey;

impl ApiKey {
    /// Reads a key. White space around it is ignored.
    ///
    /// # Errors
    /// Returns [`NoApiKey`] if the text cannot be sent.
    pub fn new(text: &str) -> Result<Self, NoApiKey> {
        let value = format!("Bearer {}", text.trim()).parse();
        let mut value: MetadataValue<Ascii> = value.map_err(|_| NoApiKey)?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("is_given", &self.0.is_some()).finish()
    }
}

impl Interceptor for ApiKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("authorization", key.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sent_and_never_printed() {
        let mut key = ApiKey::new(" tak_secret\n").unwrap();
        assert!(!format!("{key:?}").contains("secret"));
        let sent = key.call(Request::new(())).unwrap();
        assert_eq!(sent.metadata().get("authorization").unwrap(), "Bearer tak_secret");
        assert!(!format!("{sent:?}").contains("secret"));
        assert_eq!(ApiKey::new("a\nb").err(), Some(NoApiKey));
        let sent = ApiKey::default().call(Request::new(())).unwrap();
        assert!(sent.metadata().is_empty());
    }
}
