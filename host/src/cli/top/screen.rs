//! The terminal of `windlass top`: its screen, its keys and its size. The terminal is restored when the value is dropped.

use crate::cli::top::state::{Key, Line, Style};
use anyhow::Context;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::style::{Attribute, Color, Print, SetAttribute, SetForegroundColor};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};
use futures_util::StreamExt;
use std::io::{Stdout, Write, stdout};

/// The size of a terminal that does not report its size.
const DEFAULT_SIZE: (u16, u16) = (80, 24);

/// The screen of a terminal in raw mode.
pub(super) struct Screen {
    output: Stdout,
    events: EventStream,
}

impl Screen {
    /// Takes the terminal of this process.
    ///
    /// # Errors
    /// If the terminal cannot be changed.
    pub(super) fn open() -> anyhow::Result<Self> {
        enable_raw_mode().context("cannot use the terminal")?;
        let mut screen = Self { output: stdout(), events: EventStream::new() };
        execute!(screen.output, EnterAlternateScreen, Hide).context("cannot use the terminal")?;
        Ok(screen)
    }

    /// Columns and lines.
    pub(super) fn size(&self) -> (u16, u16) {
        size().ok().filter(|(columns, lines)| *columns > 0 && *lines > 0).unwrap_or(DEFAULT_SIZE)
    }

    /// Replaces the content of the screen.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub(super) fn draw(&mut self, lines: &[Line]) -> anyhow::Result<()> {
        let drawn = self.try_draw(lines);
        drawn.context("cannot write to the terminal")
    }

    fn try_draw(&mut self, lines: &[Line]) -> std::io::Result<()> {
        for (row, Line { text, style }) in (0..).zip(lines) {
            queue!(self.output, MoveTo(0, row))?;
            match style {
                Style::Plain => {}
                Style::Title => queue!(self.output, SetAttribute(Attribute::Bold))?,
                Style::Selected => queue!(self.output, SetAttribute(Attribute::Reverse))?,
                // The library leaves colours out if NO_COLOR is set.
                Style::Attention => queue!(self.output, SetForegroundColor(Color::Yellow))?,
            }
            queue!(self.output, Print(text), SetAttribute(Attribute::Reset), Clear(ClearType::UntilNewLine))?;
        }
        queue!(self.output, Clear(ClearType::FromCursorDown))?;
        self.output.flush()
    }

    /// The next key. `None` if the size of the terminal changed. A terminal that is gone ends the command.
    ///
    /// # Errors
    /// If the terminal cannot be read.
    pub(super) async fn key(&mut self) -> anyhow::Result<Option<Key>> {
        loop {
            match self.events.next().await.transpose().context("cannot read the terminal")? {
                None => return Ok(Some(Key::End)),
                Some(Event::Resize(..)) => return Ok(None),
                Some(Event::Key(key)) if key.kind == KeyEventKind::Press => {
                    return Ok(Some(match key.code {
                        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::End,
                        KeyCode::Esc => Key::Back,
                        KeyCode::Up => Key::Up,
                        KeyCode::Down => Key::Down,
                        KeyCode::Enter => Key::Character('e'),
                        KeyCode::Char(character) => Key::Character(character),
                        _ => continue,
                    }));
                }
                Some(_) => {}
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to restore.
        let _ = execute!(self.output, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}
