//! A hub of its own home, its own folder, its own key; killed and started again on the same folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use super::home::Home;
use super::process::{Process, Ran, Stream};

/// A hub in some home. It runs unless it was killed or stopped.
pub(crate) struct Hub {
    /// The home of whoever runs it; its folder is `repository` there.
    pub(crate) home: Home,
    flags: Vec<String>,
    port: u64,
    running: Option<Running>,
}

struct Running {
    process: Process,
    up: Value,
}

impl Hub {
    /// A hub that runs, on a port of its own, with a folder that is empty.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// A hub that runs with these flags.
    pub(crate) fn start_with(flags: &[&str]) -> Self {
        let mut hub = Self::at_rest(flags);
        hub.restart();
        hub
    }

    /// A hub that does not run yet.
    pub(crate) fn at_rest(flags: &[&str]) -> Self {
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        Self { home: Home::new("hub"), flags, port: 0, running: None }
    }

    /// The command that runs it.
    pub(crate) fn typed(&self) -> Vec<&str> {
        let flags = self.flags.iter().map(String::as_str);
        ["hub", "repository", "--port", "0"].into_iter().chain(flags).collect()
    }

    /// Starts it, where it does not run, and waits until it says that it does.
    pub(crate) fn restart(&mut self) {
        assert!(self.running.is_none(), "it runs");
        self.runs(self.home.start(&self.typed()));
    }

    /// Starts it where it was before, so that whoever knows its address finds it; elsewhere, if somebody
    /// else took that meanwhile.
    pub(crate) fn restart_in_place(&mut self) {
        assert!(self.running.is_none(), "it runs");
        let flags = self.flags.iter().map(String::as_str);
        let port = self.port.to_string();
        let typed: Vec<&str> = ["hub", "repository", "--port", &port].into_iter().chain(flags).collect();
        let mut process = self.home.start(&typed);
        let up = super::until("the hub is up, or has ended", || {
            let up = process.lines(Stream::Out).iter().find_map(|line| event(line, "hub"));
            if up.is_some() || !process.is_running() { Some(up) } else { None }
        });
        match up {
            Some(_) => self.runs(process),
            None => self.restart(),
        }
    }

    /// That this process is the hub from now on.
    pub(crate) fn runs(&mut self, process: Process) {
        let up = process.wait_for(Stream::Out, "the hub is up", |line| event(line, "hub"));
        self.port = up["port"].as_u64().unwrap();
        self.running = Some(Running { process, up });
    }

    /// The port where it is, or was.
    pub(crate) fn port(&self) -> u64 {
        self.port
    }

    /// Kills it without a warning, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.running.take().expect("it runs").process.kill();
    }

    /// Has it end by itself; what it said.
    pub(crate) fn stop(&mut self) -> Ran {
        let running = self.running.take().expect("it runs");
        running.process.signal(Signal::TERM);
        running.process.end()
    }

    /// What it said when it was up.
    #[track_caller]
    pub(crate) fn up(&self) -> &Value {
        &self.running.as_ref().expect("it runs").up
    }

    /// Its process.
    #[track_caller]
    pub(crate) fn process(&self) -> &Process {
        &self.running.as_ref().expect("it runs").process
    }

    /// The first event of this kind since it runs; waits for it.
    #[track_caller]
    pub(crate) fn event(&self, kind: &str) -> Value {
        self.event_where(kind, |_| true)
    }

    /// The first event of this kind, since it runs, of which this is so; waits for it.
    #[track_caller]
    pub(crate) fn event_where(&self, kind: &str, is: impl Fn(&Value) -> bool) -> Value {
        self.process().wait_for(Stream::Out, kind, |line| event(line, kind).filter(&is))
    }

    /// The events of this kind since it runs.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        self.process().lines(Stream::Out).iter().filter_map(|line| event(line, kind)).collect()
    }

    /// Something of it, as it is typed: its address, and a path unless that is empty.
    #[track_caller]
    pub(crate) fn at(&self, path: &str) -> String {
        let colon = if path.is_empty() { "" } else { ":" };
        format!("[127.0.0.1:{}]{colon}{path}", self.port)
    }

    /// `ftx hub …` as its owner types it; where it does not run, for its folder.
    pub(crate) fn manage(&self, args: &[&str]) -> Ran {
        let which: &[&str] = if self.running.is_some() { &[] } else { &["--dir", "repository"] };
        self.home.run(&[&["hub"], args, which].concat())
    }

    /// A code to join with.
    #[track_caller]
    pub(crate) fn invite(&self, args: &[&str]) -> String {
        let made = self.manage(&[&["invite"], args].concat()).done().last();
        made["code"].as_str().unwrap().to_owned()
    }

    /// Makes a home's device one of an account of this rank, `member` or `manager`; the account is made
    /// unless it is there.
    #[track_caller]
    pub(crate) fn join(&self, home: &Home, account: &str, rank: &str) {
        let code = self.invite(&["--once", "--account", account, "--role", rank]);
        let code = home.write(".code", code);
        home.run(&["join", &self.at(""), "--account", account, "--code-file", code.to_str().unwrap()]).done();
    }

    /// A new home whose device has joined.
    #[track_caller]
    pub(crate) fn member(&self, account: &str) -> Home {
        let home = Home::new(account);
        self.join(&home, account, "member");
        home
    }

    /// A new home whose device has joined as a manager's.
    #[track_caller]
    pub(crate) fn manager(&self, account: &str) -> Home {
        let home = Home::new(account);
        self.join(&home, account, "manager");
        home
    }

    /// That everything it holds is what it says it is.
    #[track_caller]
    pub(crate) fn verify(&self) {
        if std::env::var_os("FTX_VERIFY").is_some() {
            self.manage(&["verify"]).done();
        }
    }

    /// A path in its folder as its process sees it, where that has a file system of its own there.
    #[cfg(target_os = "linux")]
    pub(crate) fn sees(&self, below: &str) -> PathBuf {
        let root = std::path::Path::new("/proc").join(self.process().id().to_string()).join("root");
        root.join(self.path(below).strip_prefix("/").unwrap())
    }

    /// A path in its folder.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.home.path("repository").join(below)
    }

    /// Everything below one of its paths, as this device sees it: by path, what is told of it.
    #[track_caller]
    pub(crate) fn list(&self, home: &Home, path: &str) -> BTreeMap<String, Value> {
        let objects = home.run(&["ls", "-R", &self.at(path)]).done().objects();
        objects.into_iter().map(|object| (object["path"].as_str().unwrap().to_owned(), object)).collect()
    }

    /// What is kept of one of its paths, the newest first.
    #[track_caller]
    pub(crate) fn versions(&self, home: &Home, path: &str) -> Vec<Value> {
        home.run(&["versions", &self.at(path)]).done().objects()
    }
}

fn event(line: &str, kind: &str) -> Option<Value> {
    serde_json::from_str::<Value>(line).ok().filter(|object| object["event"] == kind)
}
