//! A person at a terminal: a pseudo-terminal that a program runs at.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::until;

/// A program at a terminal of its own; dropped, it is killed.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts a command at a new terminal.
    pub(crate) fn start(command: Command) -> Self {
        Self::start_in(command, 80)
    }

    /// Starts a command at a new terminal of so many columns.
    pub(crate) fn start_in(command: Command, columns: u16) -> Self {
        let mut command = in_charge(command);
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        // Nobody else's child keeps it open. Not every system takes this as a flag.
        rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let line = File::options().read(true).write(true).open(name).unwrap();
        let size = rustix::termios::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&line, size).unwrap();
        let end = || Stdio::from(line.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("the program starts");
        drop(command);
        drop(line);
        let keyboard = File::from(master);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut shown, seen) = (keyboard.try_clone().unwrap(), screen.clone());
        // Ends with an error when nobody has the terminal open any more.
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read) = shown.read(&mut bytes) {
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self { child, keyboard, screen }
    }

    /// The number of the program's process.
    #[cfg(target_os = "linux")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that was on the screen so far.
    pub(crate) fn screen(&self) -> String {
        self.screen.lock().unwrap().replace("\r\n", "\n")
    }

    /// Waits until the screen shows this.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) -> String {
        self.shows_times(1, text)
    }

    /// Waits until the screen has shown this so many times.
    #[track_caller]
    pub(crate) fn shows_times(&self, times: usize, text: &str) -> String {
        let look = || Some(self.screen()).filter(|screen| screen.matches(text).count() >= times);
        let end = std::time::Instant::now() + super::PATIENCE;
        loop {
            if let Some(screen) = look() {
                return screen;
            }
            assert!(std::time::Instant::now() < end, "{text:?} is not on the screen:\n{}", self.screen());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Whether it shows what is typed.
    pub(crate) fn echoes(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&self.keyboard).unwrap().local_modes;
        modes.contains(rustix::termios::LocalModes::ECHO)
    }

    /// Types a line.
    pub(crate) fn types(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the end and gives the exit code.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Option<i32> {
        until("the program at the terminal ends", || self.child.try_wait().unwrap()).code()
    }
}

/// The command as the one that the terminal belongs to, so that Ctrl-C is a signal to it whenever the terminal
/// is not just reading single keys. `setsid` becomes the program, under the same number.
#[cfg(target_os = "linux")]
fn in_charge(command: Command) -> Command {
    let mut session = Command::new("setsid");
    session.arg("-c").arg(command.get_program()).args(command.get_args());
    for (variable, value) in command.get_envs() {
        match value {
            Some(value) => session.env(variable, value),
            None => session.env_remove(variable),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        session.current_dir(folder);
    }
    session
}

/// Elsewhere there is no such program: Ctrl-C is for whoever reads it.
#[cfg(not(target_os = "linux"))]
fn in_charge(command: Command) -> Command {
    command
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
