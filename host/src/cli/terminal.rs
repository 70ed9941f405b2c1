//! The terminal of a command: whether there is one, and how wide it is.

use std::io::{IsTerminal, stderr, stdout};

/// The number of columns of standard output. `None` if that is no terminal.
pub(super) fn width() -> Option<u16> {
    let size = stdout().is_terminal().then(crossterm::terminal::size)?;
    size.ok().map(|(columns, _)| columns).filter(|columns| *columns > 0)
}

/// Returns true if progress can be shown: on a terminal, standard error is for people.
pub(super) fn shows_progress() -> bool {
    stderr().is_terminal()
}
