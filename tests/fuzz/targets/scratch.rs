//! What targets need to run: a runtime, a folder, a peer.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ftx::base::id::Role;
use ftx::flow::greet::{Me, Proof};
use ftx::link::key::Key;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Runs something in which nothing happens outside it: where it waits for a time, that is over at once.
pub(super) fn at_once<T>(doing: impl Future<Output = T>) -> T {
    std::thread_local! {
        static RUNTIME: Runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(doing))
}

/// Runs something that has threads of its own.
pub(super) fn block_on<T>(doing: impl Future<Output = T>) -> T {
    std::thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(doing))
}

/// A folder that is gone when this is dropped; in memory, where the system has that.
pub(super) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(&base).or_else(|_| tempfile::tempdir()).expect("a scratch folder")
}

/// A file of these bytes that only its owner may read.
pub(super) fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("the scratch folder takes a file");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("it is ours");
    }
    path
}

/// Both sides of a conversation: always the same two keys.
pub(super) fn sides() -> (Me, Proof) {
    static KEYS: OnceLock<[Arc<Key>; 2]> = OnceLock::new();
    let [ours, theirs] = KEYS.get_or_init(|| [(); 2].map(|()| Arc::new(Key::generate().expect("a key"))));
    let me = Me { key: ours.clone(), name: "alice".to_owned(), role: Role::Peer };
    (me, Proof { peer: theirs.public(), exporter: [7; 32].into() })
}
