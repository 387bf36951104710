//! Child processes: every line they say is kept, and none outlives its test.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;

/// The lines of one stream, as they come.
#[derive(Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    news: Condvar,
}

/// A running process; dropped, it is killed. None may ever have panicked.
pub(crate) struct Process {
    child: Child,
    typed: String,
    out: Arc<Said>,
    err: Arc<Said>,
    readers: Vec<JoinHandle<()>>,
}

/// Which stream of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    /// Results.
    Out,
    /// Talk.
    Err,
}

impl Process {
    /// Starts a command that finds its input empty.
    pub(crate) fn start(command: Command) -> Self {
        Self::start_with_input(command, &[])
    }

    /// Starts a command and feeds it.
    pub(crate) fn start_with_input(mut command: Command, input: &[u8]) -> Self {
        let typed = command.get_args().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let (out, err) = (Arc::new(Said::default()), Arc::new(Said::default()));
        let readers =
            vec![listen(child.stdout.take().unwrap(), out.clone()), listen(child.stderr.take().unwrap(), err.clone())];
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A process that ends early closes its input; what it says is what counts.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
        Self { child, typed, out, err, readers }
    }

    /// Its number.
    #[cfg(target_os = "linux")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the process is there");
    }

    /// All lines of a stream so far.
    pub(crate) fn lines(&self, stream: Stream) -> Vec<String> {
        self.said(stream).lines.lock().unwrap().clone()
    }

    /// Waits for a line in which `found` finds something.
    #[track_caller]
    pub(crate) fn wait_for<T>(&self, stream: Stream, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let said = self.said(stream);
        let mut lines = said.lines.lock().unwrap();
        loop {
            if let Some(found) = lines.iter().find_map(|line| found(line)) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "ftx {}: waited in vain: {what}; it said:\n{}", self.typed, lines.join("\n"));
            (lines, _) = said.news.wait_timeout(lines, left.min(Duration::from_secs(1))).unwrap();
        }
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ran {
        let typed = self.typed.clone();
        let status = super::until(&format!("ftx {typed} ends"), || self.child.try_wait().unwrap());
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        let text = |stream| self.lines(stream).join("\n");
        Ran { code: status.code(), out: text(Stream::Out), err: text(Stream::Err), typed }
    }

    /// Has it end by itself, and waits for that.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn end_with_term(self) -> Ran {
        self.signal(rustix::process::Signal::TERM);
        self.end()
    }

    /// Whether it has not ended.
    #[cfg(unix)]
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Kills it without a warning and waits until it is gone.
    #[cfg(unix)]
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
    }

    fn said(&self, stream: Stream) -> &Said {
        match stream {
            Stream::Out => &self.out,
            Stream::Err => &self.err,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said = self.lines(Stream::Err).join("\n");
        // Whatever was done to it; a test that fails already says so, and this may be why.
        let panicked = said.contains("panicked at");
        if panicked && std::thread::panicking() {
            eprintln!("ftx {}:\n{said}", self.typed);
        } else {
            assert!(!panicked, "ftx {}:\n{said}", self.typed);
        }
    }
}

fn listen(stream: impl Read + Send + 'static, said: Arc<Said>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            said.lines.lock().unwrap().push(text);
            said.news.notify_all();
            line.clear();
        }
    })
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) out: String,
    /// What it said besides.
    pub(crate) err: String,
    typed: String,
}

impl Ran {
    /// That it ended with this code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        let Self { typed, out, err, .. } = &self;
        assert_eq!(self.code, Some(code), "ftx {typed}\nout: {out}\nerr: {err}");
        self
    }

    /// That it did what it should.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        self.exits(0)
    }

    /// That it printed no result; whom it has met is none.
    pub(crate) fn tells_no_result(&self) -> bool {
        self.objects().iter().all(|object| object["event"] == "first_contact")
    }

    /// The objects it printed.
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect("every line is an object")).collect()
    }

    /// The last object it printed.
    #[track_caller]
    pub(crate) fn last(&self) -> Value {
        self.objects().pop().expect("something was printed")
    }

    /// The failure it told, as one text of error, cause and hint.
    #[track_caller]
    pub(crate) fn failure(&self) -> String {
        let mut told = self.err.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let told = told.rfind(|object| !object["code"].is_null());
        let told = told.unwrap_or_else(|| panic!("ftx {} told no failure: {}", self.typed, self.err));
        assert_eq!(told["code"].as_i64(), self.code.map(i64::from), "the code told is the code of the end");
        ["error", "cause", "hint"].map(|part| told[part].as_str().expect("a text").to_owned()).join(" | ")
    }
}
