//! `ftx demo`: two nodes on this machine, over loopback only, do everything once.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::outcome::{Exit, Failure};
use super::ui::printer::Printer;
use crate::base::event::Progress;
use crate::base::fault::FaultKind;
use crate::base::id::{Role, TransferId};
use crate::disk::item::Item;
use crate::disk::source::Source;
use crate::flow::greet::{Greeted, Me, Proof};
use crate::flow::lanes::Further;
use crate::flow::outgoing::{Manner, Outgoing};
use crate::flow::send::send;
use crate::flow::stop::Stopper;
use crate::link::dial::dial;
use crate::link::key::Key;
use crate::link::tls::Tls;
use crate::wire::message::Request;

/// How long a step may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// See it work: two nodes on this machine find each other, push, pull and verify.
///
/// Both run with scratch homes, over loopback only: nothing reaches the network, nothing of yours is
/// touched. It ends with 0 only if every step did what it should.
#[derive(Debug, Args)]
pub struct Demo {}

/// Shows it.
///
/// # Errors
/// The step that did not do what it should.
pub async fn run(_: Demo, printer: &Printer) -> Result<Exit, Failure> {
    let stage = Stage::set(printer.clone())?;
    let begun = Instant::now();
    let (alice, bob) = stage.two_nodes()?;
    stage.peers(&bob, &alice)?;
    stage.push(&bob, &alice)?;
    stage.push_again(&bob, &alice)?;
    stage.pull(&alice, &bob)?;
    stage.tampered(&alice).await?;
    drop((alice, bob));
    let took = begun.elapsed().as_secs_f64();
    printer.result(
        &format!("everything worked, in {took:.1} s. Now for real: type ftx up here and on another machine."),
        || json!({ "event": "demo", "ok": true, "seconds": took }),
    );
    Ok(Exit::Done)
}

/// The scratch folder and the program.
struct Stage {
    scratch: tempfile::TempDir,
    program: PathBuf,
    printer: Printer,
    suffix: String,
}

/// A node that runs until it is dropped.
struct Running {
    name: String,
    home: PathBuf,
    address: SocketAddr,
    process: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        #[cfg(unix)]
        {
            // Asked to end, so that it says good-bye.
            if let Some(pid) = rustix::process::Pid::from_raw(self.process.id() as i32) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            let until = Instant::now() + Duration::from_secs(3);
            while Instant::now() < until {
                if self.process.try_wait().is_ok_and(|ended| ended.is_some()) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn failed(step: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Other, format!("{step}: {why}"))
}

impl Stage {
    fn set(printer: Printer) -> Result<Self, Failure> {
        let scratch = tempfile::tempdir().map_err(|error| failed("making a scratch folder", error))?;
        let program = std::env::current_exe().map_err(|error| failed("finding this program", error))?;
        // Several demos at once must not see each other's nodes under one name.
        let suffix: String = uuid::Uuid::now_v7().simple().to_string().chars().rev().take(4).collect();
        Ok(Self { scratch, program, printer, suffix })
    }

    fn say(&self, typed: &str, line: &str) {
        if !typed.is_empty() {
            self.printer.line(&format!("$ {typed}"));
        }
        self.printer.line(&format!("    {line}"));
        self.printer.object(|| json!({ "event": "step", "typed": typed, "said": line }));
    }

    /// The program, as the person with this home would run it.
    fn command(&self, home: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).args(["--interface", loopback(), "--json"]);
        command.stdin(Stdio::null()).current_dir(home);
        command.env("HOME", home).env("USERPROFILE", home);
        for (variable, folder) in [
            ("XDG_CONFIG_HOME", ".config"),
            ("XDG_DATA_HOME", ".local/share"),
            ("XDG_STATE_HOME", ".local/state"),
            ("XDG_CACHE_HOME", ".cache"),
            ("APPDATA", "AppData"),
            ("LOCALAPPDATA", "AppData"),
        ] {
            command.env(variable, home.join(folder));
        }
        command
    }

    /// Runs a command to its end and returns the objects it printed.
    fn run(&self, home: &Path, args: &[&str]) -> Result<Vec<Value>, Failure> {
        let output = self.command(home, args).output().map_err(|error| failed("running ftx", error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(failed(&format!("ftx {}", args.join(" ")), said));
        }
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    fn two_nodes(&self) -> Result<(Running, Running), Failure> {
        let alice = self.node("alice")?;
        let bob = self.node("bob")?;
        self.say(
            "ftx up",
            &format!("two nodes run on this machine, each with a key of its own: {} and {}", alice.name, bob.name),
        );
        Ok((alice, bob))
    }

    fn node(&self, who: &str) -> Result<Running, Failure> {
        let name = format!("{who}-{}", self.suffix);
        let home = self.scratch.path().join(who);
        std::fs::create_dir_all(home.join("notes")).map_err(|error| failed("making a home", error))?;
        let args = [
            "up",
            "--name",
            &name,
            "--accept",
            "all",
            "--share",
            "notes",
            "--share-with",
            "all",
            "--port",
            "0",
            "--dir",
            "inbox",
        ];
        let mut process = self
            .command(&home, &args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed("starting a node", error))?;
        let port = process.stdout.take().and_then(first_object).and_then(|up| up["port"].as_u64());
        let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else {
            let _ = process.kill();
            let _ = process.wait();
            return Err(failed("ftx up", "the node did not start"));
        };
        Ok(Running { name, home, address: SocketAddr::from(([127, 0, 0, 1], port)), process })
    }

    fn peers(&self, who: &Running, sought: &Running) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            let seen = self.run(&who.home, &["peers"])?;
            if let Some(peer) = seen.iter().find(|peer| peer["name"] == *sought.name && peer["state"] == "live") {
                let line = format!(
                    "{} sees {}~{} at {}, found by {}",
                    who.name,
                    sought.name,
                    peer["short"].as_str().unwrap_or_default(),
                    peer["addresses"][0].as_str().unwrap_or_default(),
                    peer["found_by"].as_str().unwrap_or_default(),
                );
                self.say("ftx peers", &line);
                return Ok(());
            }
            if Instant::now() > until {
                return Err(failed("ftx peers", format!("{} is not seen on the loopback interface", sought.name)));
            }
        }
    }

    fn push(&self, from: &Running, to: &Running) -> Result<(), Failure> {
        let bytes: Vec<u8> =
            (0..5_000_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).take(5_000_000).collect();
        let write = std::fs::write(from.home.join("lecture.pdf"), &bytes);
        write.map_err(|error| failed("writing a file to push", error))?;
        self.run(&from.home, &["push", "lecture.pdf", &to.name])?;
        let arrived = std::fs::read(to.home.join("inbox/lecture.pdf")).map_err(|error| failed("ftx push", error))?;
        if arrived != bytes {
            return Err(failed("ftx push", "what arrived is not what was sent"));
        }
        self.say(
            &format!("ftx push lecture.pdf {}", to.name),
            "4.8 MiB sent, encrypted; verified, synced and in place there, byte for byte",
        );
        Ok(())
    }

    fn push_again(&self, from: &Running, to: &Running) -> Result<(), Failure> {
        let said = self.run(&from.home, &["push", "lecture.pdf", &to.name])?;
        if said.last().is_none_or(|object| object["bytes_moved"] != 0) {
            return Err(failed("ftx push", "an equal file was sent again"));
        }
        self.say(&format!("ftx push lecture.pdf {}", to.name), "the same again: it is there already, nothing was sent");
        Ok(())
    }

    fn pull(&self, who: &Running, from: &Running) -> Result<(), Failure> {
        let text = "week 1: what a file is\n";
        let shared = from.home.join("notes/week1.txt");
        std::fs::write(shared, text).map_err(|error| failed("writing a file to share", error))?;
        let target = format!("{}:notes/week1.txt", from.name);
        self.run(&who.home, &["pull", &target, "--to", "fetched"])?;
        let fetched =
            std::fs::read_to_string(who.home.join("fetched/week1.txt")).map_err(|error| failed("ftx pull", error))?;
        if fetched != text {
            return Err(failed("ftx pull", "what was fetched is not what is shared"));
        }
        self.say(&format!("ftx pull {target}"), "fetched from what it shares; verified");
        Ok(())
    }

    /// Sends a file through a stream that flips one bit of it, as broken memory would.
    async fn tampered(&self, to: &Running) -> Result<(), Failure> {
        const STEP: &str = "a tampered chunk";
        let path = self.scratch.path().join("tampered.bin");
        std::fs::write(&path, vec![7; 3 << 20]).map_err(|error| failed(STEP, error))?;
        let item = Item::named(&path).map_err(|fault| failed(STEP, fault))?;
        let key = std::sync::Arc::new(Key::generate().map_err(|fault| failed(STEP, fault))?);
        let tls = Tls::new(&key).map_err(|error| failed(STEP, error))?;
        let link = dial(&tls, &[to.address], None).await.map_err(|(_, fault)| failed(STEP, fault))?;
        let proof = Proof { peer: link.peer, exporter: link.exporter };
        let me = Me { key, name: format!("mallory-{}", self.suffix), role: Role::Peer };
        let stream = Tampering { stream: link.stream, until_flip: 2_000_000 };
        let greeted = Greeted::dialled(stream, proof, &me).await.map_err(|fault| failed(STEP, fault))?;
        let session = greeted.ask(Request::Push).await.map_err(|fault| failed(STEP, fault))?;
        let (progress, _) = watch::channel(Progress::default());
        let outgoing = Outgoing::start(Source::new(vec![item]), Manner::default());
        match send(session, outgoing, TransferId::new(), Further::None, progress, Stopper::new().listen()).await {
            Err(fault) if fault.kind() == FaultKind::Integrity => {}
            Err(fault) => return Err(failed(STEP, format!("refused for another reason: {fault}"))),
            Ok(_) => return Err(failed(STEP, "it was accepted")),
        }
        if to.home.join("inbox/tampered.bin").exists() {
            return Err(failed(STEP, "it is there under its final name"));
        }
        self.say(
            "",
            &format!("one bit flipped on its way: {} refused the chunk, and nothing stands under its name", to.name),
        );
        Ok(())
    }
}

fn loopback() -> &'static str {
    if cfg!(target_os = "macos") { "lo0" } else { "lo" }
}

/// The first object that a node prints; it is read on, so that the node never waits for us.
fn first_object(stdout: std::process::ChildStdout) -> Option<Value> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    told.recv_timeout(PATIENCE).ok().and_then(|line| serde_json::from_str(&line).ok())
}

/// A stream that flips one bit of what is written to it.
struct Tampering<S> {
    stream: S,
    until_flip: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Tampering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tampering<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let at = self.until_flip;
        let mut changed = bytes.to_vec();
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= 1;
        }
        let written = Pin::new(&mut self.stream).poll_write(context, &changed);
        if let Poll::Ready(Ok(count)) = written {
            // Once flipped it counts down to nowhere.
            self.until_flip = if count > at { usize::MAX } else { at - count };
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
