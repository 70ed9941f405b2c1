//! A service with a limit: so many requests a second, each of which costs so much processor time.
//!
//! `RATE` (40) requests a second are answered, each after `WORK` (2) milliseconds of work. One that would wait for its turn
//! longer than a second is refused with 503. One file and nothing but the standard library: `rustc -O -C
//! target-feature=+crt-static main.rs` makes a program that runs in an image without anything else.

use std::io::{BufRead, BufReader, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// Hands out turns, evenly spaced.
struct Turns {
    spacing: Duration,
    next: Mutex<Instant>,
}

impl Turns {
    /// How long the next request waits; none: too long.
    fn take(&self) -> Option<Duration> {
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(now);
        let wait = turn - now;
        if wait > PATIENCE {
            return None;
        }
        *next = turn + self.spacing;
        Some(wait)
    }
}

fn main() -> Result<()> {
    let setting = |name: &str, usual: f64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let rate = setting("RATE", 40.0);
    let steps = (setting("WORK", 2.0) * speed() as f64) as u64;
    let spacing = Duration::from_secs_f64(1.0 / rate);
    let turns = Arc::new(Turns { spacing, next: Mutex::new(Instant::now()) });
    let listener = TcpListener::bind("0.0.0.0:80")?;
    for stream in listener.incoming().flatten() {
        let turns = Arc::clone(&turns);
        // One that hangs up meanwhile is no matter of the others.
        std::thread::spawn(move || serve(stream, &turns, steps));
    }
    Ok(())
}

/// Answers the requests of one connection.
fn serve(mut stream: TcpStream, turns: &Turns, steps: u64) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let is_probe = line.starts_with("GET /alive ");
        while line.trim_end() != "" {
            line.clear();
            reader.read_line(&mut line)?;
        }
        let wait = if is_probe { Some(Duration::ZERO) } else { turns.take() };
        let (status, body) = match wait {
            Some(wait) => {
                std::thread::sleep(wait);
                if !is_probe {
                    work(steps);
                }
                ("200 OK", "served\n")
            }
            None => ("503 Service Unavailable", "too many requests\n"),
        };
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
    }
}

/// How many steps of [`work`] are done in a millisecond that a thread has to itself: the best of a few tries.
fn speed() -> u64 {
    let tries = (0..20).map(|_| {
        let began = Instant::now();
        work(100_000);
        100_000_000 / u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    });
    tries.max().unwrap_or(1)
}

/// So much work, whose result nobody needs.
fn work(steps: u64) {
    let mut seed = 1_u64;
    for _ in 0..steps {
        seed = std::hint::black_box(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}
