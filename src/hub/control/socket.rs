//! The socket of a running hub, for its owner only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use interprocess::local_socket::tokio::{Listener, Stream, prelude::*};
use interprocess::local_socket::{ListenerOptions, Name};
use tokio::io::BufReader;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use super::Handler;
use super::lines::{self, MAX_ANSWER, MAX_REQUEST};
use super::message::{Answer, Ask, AskVersion, Request, VERSION};
use crate::base::fault::{Fault, FaultKind, plain};
use crate::base::id::PeerId;
use crate::disk::private;
use crate::flow::stop::Stop;
use crate::hub::status::About;

/// How long a line may take to come or to go.
const WAIT: Duration = Duration::from_secs(10);

/// How long a hub takes at most to answer that it is there.
const THERE: Duration = Duration::from_secs(2);

/// How often a hub that has nothing else to say says that it is still at it.
const WORKING: Duration = Duration::from_secs(2);

/// How long whoever asks waits for the next line.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most conversations at once.
const AT_ONCE: usize = 16;

/// Most sockets looked at to find the hubs that run.
const MOST_HUBS: usize = 64;

/// Answers that may wait to be written.
const WAITING: usize = 16;

/// The socket of a running hub; its file goes when this is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: Listener,
    path: PathBuf,
}

/// What a hub says, line by line.
#[derive(Debug)]
pub struct Answers(mpsc::Receiver<Result<Answer, Fault>>);

/// Where the hub of this id has its socket in `folder`.
pub fn path(folder: &Path, id: &PeerId) -> PathBuf {
    folder.join(format!("hub-{}.sock", id.short()))
}

impl Socket {
    /// Listens in the first of `folders` where it can. The folder is made, and is to be this user's
    /// alone. A socket that a hub left behind gives way.
    ///
    /// # Errors
    /// [`FaultKind::Busy`] where a hub of this id runs. Else what is wrong with the first folder: others
    /// may enter it, or the system says something.
    pub async fn listen(folders: &[PathBuf], id: &PeerId) -> Result<Self, Fault> {
        let mut first = None;
        for folder in folders {
            match Self::listen_in(folder, id).await {
                Err(fault) if fault.kind != FaultKind::Busy => first = first.or(Some(fault)),
                end => return end,
            }
        }
        Err(first.unwrap_or_else(|| Fault::new(FaultKind::Other, "there is no folder for the socket")))
    }

    async fn listen_in(folder: &Path, id: &PeerId) -> Result<Self, Fault> {
        let path = path(folder, id);
        private(folder)?;
        if ask(&path, Request::About).await.is_ok() {
            let text = format!("a hub with the same key runs already: {} answers", path.display());
            return Err(Fault::new(FaultKind::Busy, text));
        }
        let made = remove(&path).and_then(|()| ListenerOptions::new().name(name(&path)?).create_tokio());
        // The folder keeps others out until the socket does, too.
        let made = made.and_then(|listener| owned(&path).map(|()| listener));
        match made {
            Ok(listener) => Ok(Self { listener, path }),
            Err(error) => Err(Fault::disk(format!("listening at {}", path.display()), &error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has everything answered that is asked, until it is to stop.
    pub async fn serve(self, handler: Arc<impl Handler>, mut stop: Stop) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.stopped() => break,
            };
            let Ok(stream) = accepted else {
                // Too many open files, perhaps: they become fewer.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (handler, mut stop) = (handler.clone(), stop.clone());
            let place = places.clone().try_acquire_owned();
            tokio::spawn(async move {
                let said = async {
                    match place {
                        Ok(_place) => converse(&stream, &*handler).await,
                        Err(_) => say(&stream, &Answer::failed(&Fault::new(FaultKind::Busy, "too many ask"))).await,
                    }
                };
                tokio::select! {
                    // Whoever has gone need not be told.
                    _ = said => {}
                    () = stop.stopped() => {}
                }
            });
        }
        let _ = remove(&self.path);
    }
}

/// Hears what is wanted, and tells what comes of it.
async fn converse(stream: &Stream, handler: &impl Handler) -> Result<(), Fault> {
    let request = match hear(stream).await {
        Ok(Some(request)) => request,
        Ok(None) => return Ok(()),
        Err(fault) => return say(stream, &Answer::failed(&fault)).await,
    };
    let (answers, mut said) = mpsc::channel(WAITING);
    let done = async move { handler.answer(request, &answers).await };
    let told = async {
        loop {
            match timeout(WORKING, said.recv()).await {
                Ok(Some(answer)) => say(stream, &answer).await?,
                Ok(None) => return Ok(()),
                Err(_) => say(stream, &Answer::Working).await?,
            }
        }
    };
    // Where nobody listens any more, `told` fails, and what is being done is dropped.
    let end = tokio::try_join!(async { Ok(done.await) }, told);
    match end {
        Ok((Ok(()), ())) => say(stream, &Answer::Done).await,
        Ok((Err(fault), ())) => say(stream, &Answer::failed(&fault)).await,
        Err(lost) => Err(lost),
    }
}

async fn hear(stream: &Stream) -> Result<Option<Request>, Fault> {
    let Some(line) = lines::read(&mut BufReader::new(stream), MAX_REQUEST, WAIT).await? else { return Ok(None) };
    let unclear = |error: serde_json::Error| Fault::protocol(format!("that is no request: {error}"));
    let AskVersion { version } = serde_json::from_slice(&line).map_err(unclear)?;
    if version != VERSION {
        let text = format!("version {VERSION} is spoken here, not {version}");
        return Err(Fault::new(FaultKind::Version, text));
    }
    let ask: Ask = serde_json::from_slice(&line).map_err(unclear)?;
    Ok(Some(ask.request))
}

async fn say(mut stream: &Stream, answer: &Answer) -> Result<(), Fault> {
    lines::write(&mut stream, answer, MAX_ANSWER, WAIT).await
}

/// Asks the hub whose socket is at `path`.
///
/// # Errors
/// [`FaultKind::NotFound`] where no hub answers there.
pub async fn ask(path: &Path, request: Request) -> Result<Answers, Fault> {
    let silent = |text: String| Fault::new(FaultKind::NotFound, format!("{}: {text}", path.display()));
    // Whoever else may put a socket there would be believed, and told codes.
    if !path.parent().is_some_and(is_ours) {
        return Err(silent("its folder is not yours".to_owned()));
    }
    let name = name(path).map_err(|error| silent(plain(&error)))?;
    let stream = match timeout(THERE, Stream::connect(name)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(silent(plain(&error))),
        Err(_) => return Err(silent("nobody answers".to_owned())),
    };
    match lines::write(&mut &stream, &Ask { version: VERSION, request }, MAX_REQUEST, WAIT).await {
        // It may have answered before it heard: that it has too much to do.
        Err(fault) if fault.kind != FaultKind::Lost => return Err(fault),
        _ => {}
    }
    let (told, answers) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! {
            () = listen(&stream, &told) => {}
            () = told.closed() => {}
        }
    });
    Ok(Answers(answers))
}

/// Passes on what the hub says until it has said everything.
async fn listen(stream: &Stream, told: &mpsc::Sender<Result<Answer, Fault>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let line = lines::read(&mut reader, MAX_ANSWER, PATIENCE).await;
        let answer = line.and_then(|line| {
            let line = line.ok_or_else(|| Fault::new(FaultKind::Lost, "the hub has ended"))?;
            serde_json::from_slice(&line).map_err(|error| Fault::protocol(format!("that is no answer: {error}")))
        });
        let last = matches!(answer, Err(_) | Ok(Answer::Done | Answer::Failed { .. }));
        if told.send(answer).await.is_err() || last {
            return;
        }
    }
}

impl Answers {
    /// Has `handler` answer in this very process.
    pub fn of(handler: impl Handler, request: Request) -> Self {
        let (told, heard) = mpsc::channel(1);
        tokio::spawn(async move {
            let (answers, mut said) = mpsc::channel(WAITING);
            let passed = async {
                while let Some(answer) = said.recv().await {
                    if told.send(Ok(answer)).await.is_err() {
                        return;
                    }
                }
            };
            let done = async move { handler.answer(request, &answers).await };
            let both = async { tokio::join!(done, passed).0 };
            tokio::select! {
                done = both => drop(told.send(done.map(|()| Answer::Done)).await),
                () = told.closed() => {}
            }
        });
        Self(heard)
    }

    /// The next answer; none after [`Answer::Done`].
    ///
    /// # Errors
    /// What the hub says that failed, or what failed of hearing it.
    pub async fn next(&mut self) -> Result<Option<Answer>, Fault> {
        loop {
            match self.0.recv().await.transpose()? {
                None | Some(Answer::Done) => return Ok(None),
                Some(Answer::Working) => {}
                Some(answer) => return answer.fault().map_or(Ok(Some(answer)), Err),
            }
        }
    }
}

/// The hubs that run, of those that have their sockets in these folders.
pub async fn running(folders: &[PathBuf]) -> Vec<(PathBuf, About)> {
    let mut found = Vec::new();
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().filter_map(Result::ok);
    let sockets = files.map(|file| file.path()).filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("hub-") && name.ends_with(".sock")
    });
    for path in sockets.take(MOST_HUBS) {
        let about = timeout(THERE, async { ask(&path, Request::About).await?.next().await }).await;
        if let Ok(Ok(Some(Answer::About(about)))) = about {
            found.push((path, about));
        }
    }
    found
}

#[cfg(unix)]
fn name(path: &Path) -> io::Result<Name<'_>> {
    use interprocess::local_socket::{GenericFilePath, ToFsName};
    path.to_fs_name::<GenericFilePath>()
}

/// A pipe, which only its owner may write to; a file of its name tells that it is there.
#[cfg(not(unix))]
fn name(path: &Path) -> io::Result<Name<'_>> {
    use interprocess::local_socket::{GenericNamespaced, ToNsName};
    path.file_name().unwrap_or_default().to_ns_name::<GenericNamespaced>()
}

/// Whether a folder is this user's.
#[cfg(unix)]
fn is_ours(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let found = fs::symlink_metadata(folder);
    found.is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
fn is_ours(_: &Path) -> bool {
    true
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a folder that only this user may enter, or checks that it is one.
fn private(folder: &Path) -> Result<(), Fault> {
    let failed = |error: &io::Error| Fault::disk(format!("opening {}", folder.display()), error);
    private::make_folder(folder).map_err(|error| failed(&error))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let found = fs::symlink_metadata(folder).map_err(|error| failed(&error))?;
        if !is_ours(folder) || found.mode() & 0o077 != 0 {
            let shown = folder.display();
            let text = format!("others may use {shown}; make it yours alone: chmod 700 {shown}");
            return Err(Fault::new(FaultKind::NotPermitted, text));
        }
    }
    Ok(())
}

#[cfg(unix)]
fn owned(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn owned(path: &Path) -> io::Result<()> {
    fs::write(path, b"")
}
