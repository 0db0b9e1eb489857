//! Log lines on their way out, written by a thread of their own.
//!
//! A request only adds its line to those that wait. Waking the writer for each would cost it more
//! than the line itself, so the writer, once woken, lets lines gather for a moment. Warnings and
//! errors, which may be the last words of a process, it writes at once with all before them. Where
//! nobody reads what it writes, lines are lost, and counted, rather than requests.

use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long lines gather.
const GATHERING: Duration = Duration::from_millis(5);
/// How many bytes may gather before they are written in any case.
const WAKE_AT_BYTES: usize = 64 * 1024;
/// How many bytes may wait at most.
const MAX_BUFFERED_BYTES: usize = 8 * 1024 * 1024;
/// How long the end waits for what is left to be written.
const END: Duration = Duration::from_secs(1);

/// Where lines are added.
#[derive(Debug, Clone)]
pub(super) struct NonBlockingWriter(Arc<Shared>);

/// Writes what is left when it is dropped, if someone reads it.
#[derive(Debug)]
pub(super) struct Writing(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    lost: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Whether something waits that is not to wait.
    urgent: bool,
    /// Whether there will be no more.
    ending: bool,
    /// Whether all is written.
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
/// Where the operating system gives no thread.
pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(NonBlockingWriter, Writing)> {
    let shared = Arc::new(Shared::default());
    let thread = std::thread::Builder::new().name("log".into());
    let for_thread = Arc::clone(&shared);
    thread.spawn(move || for_thread.write_to(out))?;
    Ok((NonBlockingWriter(Arc::clone(&shared)), Writing(shared)))
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
            let gathering = |state: &mut State| !state.is_due();
            let gathered = self.changed.wait_timeout_while(state, GATHERING, gathering);
            let (mut state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
            mem::swap(&mut state.waiting, &mut writing);
            state.urgent = false;
            let last = state.ending;
            drop(state);
            // Whoever read it is gone: there is nobody left to tell.
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
    /// Counts the lines that were lost.
    pub(super) fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.lost)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.ending = true;
        self.0.changed.notify_all();
        let _ = self.0.changed.wait_timeout_while(state, END, |state| !state.ended);
    }
}

/// One line.
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

    /// Hands on what is written, each time with its beginning.
    struct Hand(mpsc::SyncSender<Vec<u8>>);

    impl Write for Hand {
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
        let (hand, written) = mpsc::sync_channel(100);
        let (lines, writing) = start(Hand(hand)).unwrap();
        for n in 0..50 {
            add(&lines, format!("line {n}\n").as_bytes(), false);
        }
        drop(writing);
        let writes: Vec<Vec<u8>> = written.try_iter().collect();
        let expected: Vec<String> = (0..50).map(|n| format!("line {n}\n")).collect();
        assert_eq!(String::from_utf8(writes.concat()).unwrap(), expected.concat());
        assert!(writes.len() < 25, "{} writes", writes.len());
    }

    #[test]
    fn what_is_urgent_waits_for_nothing_and_takes_the_rest_along() {
        let (hand, written) = mpsc::sync_channel(100);
        let (lines, _writing) = start(Hand(hand)).unwrap();
        add(&lines, b"before\n", false);
        add(&lines, b"error\n", true);
        let mut all = written.recv().unwrap();
        while !all.ends_with(b"error\n") {
            all.extend(written.recv().unwrap());
        }
        assert_eq!(all, b"before\nerror\n");
    }

    #[test]
    fn where_nobody_reads_lines_are_lost_and_counted_and_the_end_comes() {
        let (hand, unread) = mpsc::sync_channel(0);
        let (lines, writing) = start(Hand(hand)).unwrap();
        let line = vec![b'x'; MAX_BUFFERED_BYTES / 4];
        for _ in 0..20 {
            add(&lines, &line, false);
        }
        assert!(lines.lost().load(Ordering::Relaxed) >= 10);
        drop(writing);
        drop(unread);
    }
}
