//! A key that is pressed, without the end of a line.

use tokio::sync::oneshot;

/// Waits for one key while it is there; the terminal is as it was when it is dropped.
#[derive(Debug)]
pub struct Keys {
    pressed: Option<oneshot::Receiver<()>>,
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

impl Keys {
    /// Waits for this key, where standard input is a terminal whose keys can be had one by one.
    pub fn wait_for(key: u8) -> Self {
        #[cfg(unix)]
        if let Some(before) = one_by_one() {
            let (tell, pressed) = oneshot::channel();
            std::thread::spawn(move || {
                let mut byte = [0];
                while std::io::Read::read(&mut std::io::stdin(), &mut byte).is_ok_and(|read| read == 1) {
                    if byte[0] == key {
                        let _ = tell.send(());
                        return;
                    }
                }
            });
            return Self { pressed: Some(pressed), before: Some(before) };
        }
        let _ = key;
        Self {
            pressed: None,
            #[cfg(unix)]
            before: None,
        }
    }

    /// Ends when the key is pressed; never where there is no such key.
    pub async fn pressed(&mut self) {
        if let Some(pressed) = &mut self.pressed
            && pressed.await.is_ok()
        {
            self.pressed = None;
            return;
        }
        self.pressed = None;
        std::future::pending().await
    }
}

/// Has the terminal give each key at once and show none; how it was before.
#[cfg(unix)]
fn one_by_one() -> Option<rustix::termios::Termios> {
    use std::io::IsTerminal;

    use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return None;
    }
    let before = tcgetattr(&stdin).ok()?;
    let mut changed = before.clone();
    // Ctrl-C is still a signal.
    changed.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    changed.special_codes[SpecialCodeIndex::VMIN] = 1;
    changed.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(&stdin, OptionalActions::Now, &changed).ok()?;
    Some(before)
}

impl Drop for Keys {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(before) = &self.before {
            let _ = rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, before);
        }
    }
}
