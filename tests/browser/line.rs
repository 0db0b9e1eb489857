//! The line between the browser and the service: it tells what was said, and may lose replies.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::support::service::SOON;

/// A line to one server, until the test ends.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    port: u16,
    said: Arc<Mutex<Said>>,
}

/// What was said on it.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// By the browser, in lower case.
    pub(crate) asked: String,
    /// By the server, in lower case.
    pub(crate) answered: String,
}

impl Line {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = Self { port: listener.local_addr().unwrap().port(), said: Arc::default() };
        let this = line.clone();
        tokio::spawn(async move {
            loop {
                let (browser, _) = listener.accept().await.unwrap();
                let (from_browser, to_browser) = browser.into_split();
                let (from_server, to_server) =
                    TcpStream::connect(server).await.unwrap().into_split();
                tokio::spawn(this.clone().carry(from_browser, to_server, |said| &mut said.asked));
                tokio::spawn(
                    this.clone().carry(from_server, to_browser, |said| &mut said.answered),
                );
            }
        });
        line
    }

    /// The port on which it takes calls.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What was said since this was last asked, once the server has answered.
    ///
    /// # Panics
    /// Where it does not in time.
    pub(crate) async fn exchange(&self) -> Said {
        let deadline = Instant::now() + SOON;
        while self.said.lock().unwrap().answered.is_empty() {
            assert!(Instant::now() < deadline, "no answer to {:?}", self.said);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::mem::take(&mut *self.said.lock().unwrap())
    }

    async fn carry(
        self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        side: fn(&mut Said) -> &mut String,
    ) {
        let mut buffer = vec![0; 16 * 1024];
        // Either may hang up at any moment.
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let text = String::from_utf8_lossy(&buffer[..read]).to_ascii_lowercase();
            side(&mut self.said.lock().unwrap()).push_str(&text);
            if to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}
