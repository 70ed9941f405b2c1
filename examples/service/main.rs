//! A service with a limited request rate and a fixed CPU cost per request.
//!
//! It serves `RATE` (40) requests per second, each after `WORK` (2) milliseconds of CPU work. It rejects a request that would
//! wait longer than one second, with status 503. The program is a single file without dependencies: `rustc -O -C
//! target-feature=+crt-static main.rs` compiles it for an empty image.

use std::io::{BufRead, BufReader, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The maximum time that a request waits.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Schedules requests at even intervals.
struct Schedule {
    spacing: Duration,
    next: Mutex<Instant>,
}

impl Schedule {
    /// Returns the waiting time of the next request. `None` if it would wait too long.
    fn reserve(&self) -> Option<Duration> {
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let start = (*next).max(now);
        let wait = start - now;
        if wait > MAX_WAIT {
            return None;
        }
        *next = start + self.spacing;
        Some(wait)
    }
}

fn main() -> Result<()> {
    let setting =
        |name: &str, default: f64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let rate = setting("RATE", 40.0);
    let steps = (setting("WORK", 2.0) * speed() as f64) as u64;
    let spacing = Duration::from_secs_f64(1.0 / rate);
    let schedule = Arc::new(Schedule { spacing, next: Mutex::new(Instant::now()) });
    let listener = TcpListener::bind("0.0.0.0:80")?;
    for stream in listener.incoming().flatten() {
        let schedule = Arc::clone(&schedule);
        // A closed connection does not affect the others.
        std::thread::spawn(move || serve(stream, &schedule, steps));
    }
    Ok(())
}

/// Serves the requests of one connection.
fn serve(mut stream: TcpStream, schedule: &Schedule, steps: u64) -> Result<()> {
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
        let wait = if is_probe { Some(Duration::ZERO) } else { schedule.reserve() };
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

/// Measures the steps of [`work`] per millisecond on an otherwise idle core: the best of several runs.
fn speed() -> u64 {
    let runs = (0..20).map(|_| {
        let start = Instant::now();
        work(100_000);
        100_000_000 / u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    });
    runs.max().unwrap_or(1)
}

/// Uses CPU time. The result is discarded.
fn work(steps: u64) {
    let mut seed = 1_u64;
    for _ in 0..steps {
        seed = std::hint::black_box(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}
