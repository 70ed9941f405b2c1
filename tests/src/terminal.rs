//! A pseudo-terminal: runs a command in it, presses keys and reads its screen.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};

/// Columns and lines of the terminal.
const SIZE: Winsize = Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };

/// A command in a terminal of its own. Dropping the value kills it.
pub struct Terminal {
    child: Child,
    keyboard: OwnedFd,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Runs a command in a new terminal, which is its controlling terminal.
    ///
    /// # Errors
    /// If there is no terminal, or no `setsid` of util-linux.
    pub fn run(command: &Command) -> anyhow::Result<Self> {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        tcsetwinsize(&terminal, SIZE)?;
        let name = ptsname(&terminal, Vec::new())?;
        let end = || File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes()));
        let mut own = Command::new("setsid");
        own.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args()).env_clear();
        own.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm-256color");
        if let Some(folder) = command.get_current_dir() {
            own.current_dir(folder);
        }
        let child = own.stdin(end()?).stdout(end()?).stderr(end()?).spawn()?;
        // Only the child still has that end of the terminal.
        drop(own);
        let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (mut screen, written) = (File::from(terminal.try_clone()?), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            // Reading from a terminal without another end is an error.
            while let Ok(read @ 1..) = screen.read(&mut bytes) {
                written.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..read]);
            }
        });
        Ok(Self { child, keyboard: terminal, seen })
    }

    /// Presses keys.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn press(&self, keys: &str) -> anyhow::Result<()> {
        rustix::io::write(&self.keyboard, keys.as_bytes())?;
        Ok(())
    }

    /// Everything that was written to the terminal so far, with its escape sequences.
    pub fn raw(&self) -> String {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// Everything that was written to the terminal so far, without escape sequences.
    pub fn text(&self) -> String {
        let raw = self.raw();
        let mut text = String::with_capacity(raw.len());
        let mut characters = raw.chars();
        while let Some(character) = characters.next() {
            if character != '\u{1b}' {
                text.push(character);
            } else if characters.next() == Some('[') {
                // A control sequence ends with a letter or a sign like it.
                characters.find(|character| ('\u{40}'..='\u{7e}').contains(character));
            }
        }
        text
    }

    /// The exit status. `None` while the command runs.
    ///
    /// # Errors
    /// If the operating system does not know.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The child ends with its terminal, unless it ignores that.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
