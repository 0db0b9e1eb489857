//! A writer for log lines that never blocks a request.
//!
//! A request only appends its line to a buffer, which a separate thread writes out. Waking the thread
//! for each line would cost more than the line itself, so the thread waits a moment for more lines.
//! It writes warnings and errors at once, with all lines before them, because the process may be
//! about to end. If standard error is blocked and the buffer is full, lines are dropped and counted.

use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long the thread waits for more lines. A longer wait saves wake-ups and delays the log.
const COALESCE_DELAY: Duration = Duration::from_millis(5);
/// A buffer of this many bytes is written without further delay.
const WAKE_AT_BYTES: usize = 64 * 1024;
/// The size of the buffer. Lines beyond it are dropped.
const MAX_BUFFERED_BYTES: usize = 8 * 1024 * 1024;
/// How long the end of the process waits for the rest of the buffer. Without a limit, a blocked
/// standard error would keep the process alive.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The writer to which log lines are appended.
#[derive(Debug, Clone)]
pub(super) struct NonBlockingWriter(Arc<Shared>);

/// Writes the rest of the buffer when it is dropped.
#[derive(Debug)]
pub(super) struct FlushGuard(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    lost: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Whether the buffer holds a warning or an error, which is written without delay.
    urgent: bool,
    /// Whether no more lines will be added.
    ending: bool,
    /// Whether the thread has written everything.
    ended: bool,
}

impl State {
    fn is_due(&self) -> bool {
        self.urgent || self.ending || self.waiting.len() >= WAKE_AT_BYTES
    }
}

/// Starts the thread that writes to `out`.
///
/// # Errors
/// Returns the operating system's error if no thread can be started.
pub(super) fn start(
    out: impl Write + Send + 'static,
) -> io::Result<(NonBlockingWriter, FlushGuard)> {
    let shared = Arc::new(Shared::default());
    let thread = std::thread::Builder::new().name("log".into());
    let for_thread = Arc::clone(&shared);
    thread.spawn(move || for_thread.write_to(out))?;
    Ok((NonBlockingWriter(Arc::clone(&shared)), FlushGuard(shared)))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &[u8], urgent: bool) {
        let mut state = self.state();
        if state.waiting.len() + line.len() > MAX_BUFFERED_BYTES {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let (was_empty, was_due) = (state.waiting.is_empty(), state.is_due());
        state.waiting.extend_from_slice(line);
        state.urgent |= urgent;
        let news = was_empty || (!was_due && state.is_due());
        drop(state);
        if news {
            self.changed.notify_one();
        }
    }

    fn write_to(&self, mut out: impl Write) {
        let mut writing = Vec::new();
        loop {
            let state = self.state();
            let idle = |state: &mut State| state.waiting.is_empty() && !state.ending;
            let state =
                self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
            let not_due = |state: &mut State| !state.is_due();
            let waited = self.changed.wait_timeout_while(state, COALESCE_DELAY, not_due);
            let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            mem::swap(&mut state.waiting, &mut writing);
            state.urgent = false;
            let last = state.ending;
            drop(state);
            // If standard error is closed, the error cannot be reported anywhere.
            let _ = out.write_all(&writing).and_then(|()| out.flush());
            writing.clear();
            writing.shrink_to(WAKE_AT_BYTES);
            if last {
                self.state().ended = true;
                self.changed.notify_all();
                return;
            }
        }
    }
}

impl NonBlockingWriter {
    /// Returns the counter of dropped lines.
    pub(super) fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.lost)
    }
}

impl Drop for FlushGuard {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.ending = true;
        self.0.changed.notify_all();
        let _ = self.0.changed.wait_timeout_while(state, FLUSH_TIMEOUT, |state| !state.ended);
    }
}

/// A single log line that is being appended.
#[derive(Debug)]
pub(super) struct Line<'a> {
    lines: &'a NonBlockingWriter,
    urgent: bool,
}

impl<'a> MakeWriter<'a> for NonBlockingWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, urgent: false }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line { lines: self, urgent: *metadata.level() <= Level::WARN }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.0.add(line, self.urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Sends each write to a channel.
    struct ChannelWriter(mpsc::SyncSender<Vec<u8>>);

    impl Write for ChannelWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn add(lines: &NonBlockingWriter, line: &[u8], urgent: bool) {
        Line { lines, urgent }.write_all(line).unwrap();
    }

    #[test]
    fn lines_arrive_whole_in_order_and_together() {
        let (sender, written) = mpsc::sync_channel(100);
        let (lines, guard) = start(ChannelWriter(sender)).unwrap();
        for n in 0..50 {
            add(&lines, format!("line {n}\n").as_bytes(), false);
        }
        drop(guard);
        let writes: Vec<Vec<u8>> = written.try_iter().collect();
        let expected: Vec<String> = (0..50).map(|n| format!("line {n}\n")).collect();
        assert_eq!(String::from_utf8(writes.concat()).unwrap(), expected.concat());
        assert!(writes.len() < 25, "{} writes", writes.len());
    }

    #[test]
    fn an_error_is_written_at_once_with_the_lines_before_it() {
        let (sender, written) = mpsc::sync_channel(100);
        let (lines, _guard) = start(ChannelWriter(sender)).unwrap();
        add(&lines, b"before\n", false);
        add(&lines, b"error\n", true);
        let mut all = written.recv().unwrap();
        while !all.ends_with(b"error\n") {
            all.extend(written.recv().unwrap());
        }
        assert_eq!(all, b"before\nerror\n");
    }

    #[test]
    fn lines_are_dropped_and_counted_if_nobody_reads_and_the_end_does_not_block() {
        let (sender, unread) = mpsc::sync_channel(0);
        let (lines, guard) = start(ChannelWriter(sender)).unwrap();
        let line = vec![b'x'; MAX_BUFFERED_BYTES / 4];
        for _ in 0..20 {
            add(&lines, &line, false);
        }
        assert!(lines.lost().load(Ordering::Relaxed) >= 10);
        drop(guard);
        drop(unread);
    }
}
