//! The connection between the browser and the service. It records requests and answers, and can
//! lose replies.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use test_support::until::TIMEOUT;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// A line to one server, until the test ends.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    port: u16,
    said: Arc<Mutex<Said>>,
    replies: Arc<Mutex<Replies>>,
}

/// What happens to replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replies {
    /// They arrive.
    Arrive,
    /// The connection breaks at the next reply, and works from then on.
    LoseOne,
    /// The connection breaks at every reply.
    Lose,
    /// Replies are delayed for ever.
    Hold,
}

/// The recorded bytes.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// From the browser, in lower case.
    pub(crate) asked: String,
    /// From the server, in lower case.
    pub(crate) answered: String,
}

impl Line {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = Self {
            port: listener.local_addr().unwrap().port(),
            said: Arc::default(),
            replies: Arc::new(Mutex::new(Replies::Arrive)),
        };
        let this = line.clone();
        tokio::spawn(async move {
            loop {
                let (browser, _) = listener.accept().await.unwrap();
                let (from_browser, to_browser) = browser.into_split();
                let (from_server, to_server) =
                    TcpStream::connect(server).await.unwrap().into_split();
                tokio::spawn(this.clone().carry_questions(from_browser, to_server));
                tokio::spawn(this.clone().carry_replies(from_server, to_browser));
            }
        });
        line
    }

    /// Returns the port on which it accepts connections.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Decides what happens to replies from now on.
    pub(crate) fn replies(&self, replies: Replies) {
        *self.replies.lock().unwrap() = replies;
    }

    /// Returns what was recorded since the last call, once the server has answered.
    ///
    /// # Panics
    ///
    /// Panics if no answer comes in time.
    pub(crate) async fn exchange(&self) -> Said {
        let deadline = Instant::now() + TIMEOUT;
        while self.said.lock().unwrap().answered.is_empty() {
            assert!(Instant::now() < deadline, "no answer to {:?}", self.said);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::mem::take(&mut *self.said.lock().unwrap())
    }

    async fn carry_questions(self, mut browser: OwnedReadHalf, mut server: OwnedWriteHalf) {
        let mut buffer = vec![0; 16 * 1024];
        // Either side may close the connection at any moment.
        while let Ok(read @ 1..) = browser.read(&mut buffer).await {
            self.said.lock().unwrap().asked += &text(&buffer[..read]);
            if server.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }

    async fn carry_replies(self, mut server: OwnedReadHalf, mut browser: OwnedWriteHalf) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = server.read(&mut buffer).await {
            self.said.lock().unwrap().answered += &text(&buffer[..read]);
            let replies = *self.replies.lock().unwrap();
            match replies {
                Replies::Arrive => {}
                Replies::LoseOne => return self.replies(Replies::Arrive),
                Replies::Lose => return,
                Replies::Hold => continue,
            }
            if browser.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).to_ascii_lowercase()
}
