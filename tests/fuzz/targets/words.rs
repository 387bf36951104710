//! What is typed, and the words of base: targets, names, paths, texts.

use std::path::{Component, Path};

use ftx::base::link_target::LinkTarget;
use ftx::base::naming;
use ftx::base::path::{Name, RelPath};
use ftx::base::target::{PeerRef, Target};
use ftx::base::text::{PeerText, escape, is_deceptive};

use super::Took;

/// `PEER[:PATH]`: a peer that is read reads the same again as it is written.
pub(super) fn target(bytes: &[u8]) -> Took {
    let text = String::from_utf8_lossy(bytes);
    let Ok(target) = text.parse::<Target>() else { return Took::No };
    if !matches!(target.peer, PeerRef::Host { .. }) {
        assert_eq!(target.peer.to_string().parse().as_ref(), Ok(&target.peer), "{text:?}");
    }
    if let Some(path) = &target.path {
        assert_eq!(RelPath::parse(path.as_str()).as_ref(), Ok(path));
    }
    Took::Yes
}

/// A path of a peer, a name, a link: safe for a file system, and the same however it came to be.
pub(super) fn path(bytes: &[u8]) -> Took {
    let text = String::from_utf8_lossy(bytes);
    local(&text);
    link(&text);
    let Ok(path) = RelPath::parse(&text) else { return Took::No };
    assert!(text.len() <= RelPath::MAX && path.depth() <= RelPath::MAX_DEPTH);
    let parts: Vec<_> = Path::new(path.as_str()).components().collect();
    assert_eq!(parts.len(), path.depth());
    let plain = |part: &Component<'_>| matches!(part, Component::Normal(name) if name.len() <= Name::MAX);
    assert!(parts.iter().all(plain) && !text.contains(['\\', '\0']) && !text.contains(char::is_control));
    for name in path.components() {
        assert!(Name::parse(name).is_ok() && !name.to_lowercase().starts_with(".ftx-"), "{name:?}");
    }
    if let Some(parent) = path.parent() {
        assert_eq!(parent.join(&path.file_name()).as_ref(), Ok(&path));
    }
    let other = path.file_name().numbered(999);
    assert!(Name::parse(other.as_str()).is_ok(), "{other:?}");
    assert_eq!(path.with_file_name(&other).file_name(), other);
    assert!(!format!("{path} {path:?}").contains(is_deceptive));
    Took::Yes
}

/// Whatever a file of ours is called, it gets a name that can travel.
fn local(text: &str) {
    let (name, _) = Name::from_local(text);
    assert_eq!(Name::parse(name.as_str()).as_ref(), Ok(&name));
    if let Some(name) = naming::cleaned(text) {
        assert!(naming::is_good(&name) && !name.contains(is_deceptive));
        assert_eq!(name.parse::<Target>().map(|target| target.path), Ok(None), "{name:?}");
    }
}

fn link(text: &str) {
    if let Ok(target) = LinkTarget::from_local(text) {
        assert_eq!(LinkTarget::parse(target.as_str()).as_ref(), Ok(&target));
        assert_eq!(LinkTarget::from_local(target.as_str()).as_ref(), Ok(&target));
        assert!(Path::new(target.as_str()).is_relative());
        assert!(!format!("{target} {target:?}").contains(is_deceptive));
    }
}

/// Text of a peer: bounded, and harmless on a screen.
pub(super) fn text(bytes: &[u8]) -> Took {
    let raw = String::from_utf8_lossy(bytes);
    let text = PeerText::new(raw.as_ref());
    assert!(text.as_raw().len() <= PeerText::MAX && raw.starts_with(text.as_raw()));
    let shown = text.to_string();
    assert!(!shown.contains(is_deceptive) && shown.len() <= 6 * text.as_raw().len());
    assert_eq!(escape(&shown), shown.as_str());
    Took::of(text.as_raw() == raw)
}
