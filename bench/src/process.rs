//! Child processes that end with us, however we end.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::machine;

/// A child, killed when this value is dropped, and by the kernel (through `setpriv`) when this process dies.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

/// A child that is asked in lines and answers in lines.
#[derive(Debug)]
pub struct Dialogue {
    process: Process,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Process {
    /// Starts a program. What it says goes to `log`, a file, or nowhere.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &str, arguments: &[String], log: Option<std::fs::File>) -> Result<Self, String> {
        let mut command = bound(program);
        command.args(arguments).stdin(Stdio::null());
        match log {
            Some(log) => {
                let other = log.try_clone().map_err(|error| error.to_string())?;
                command.stdout(log).stderr(other);
            }
            None => {
                command.stdout(Stdio::null()).stderr(Stdio::null());
            }
        }
        Ok(Self { child: command.spawn().map_err(|error| format!("{program}: {error}"))? })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Kills it, and waits until it is gone.
    pub fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

impl Dialogue {
    /// Starts a program and waits for its first line.
    ///
    /// # Errors
    /// When it does not say anything.
    pub fn start(program: &str, arguments: &[String]) -> Result<Self, String> {
        let mut command = bound(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (said, lines) = channel();
        let (Some(input), Some(output)) = (input, output) else { return Err("no pipes".to_owned()) };
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        let dialogue = Self { process: Process { child }, input, lines };
        dialogue.line(Duration::from_secs(20)).map_err(|error| format!("{program}: {error}"))?;
        Ok(dialogue)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn ask(&mut self, question: &str, limit: Duration) -> Result<String, String> {
        writeln!(self.input, "{question}")
            .and_then(|()| self.input.flush())
            .map_err(|error| error.to_string())?;
        self.line(limit)
    }

    fn line(&self, limit: Duration) -> Result<String, String> {
        self.lines.recv_timeout(limit).map_err(|error| format!("no answer: {error}"))
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Runs a program to its end, and gives what it wrote to its output.
///
/// # Errors
/// When it fails, or runs longer than `limit`.
pub fn output(program: &str, arguments: &[String], limit: Duration) -> Result<String, String> {
    let mut command = bound(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process { child: command.spawn().map_err(|error| format!("{program}: {error}"))? };
    let read = |stream: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut stream) = stream {
                let _ = stream.read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let output = read(process.child.stdout.take().map(|stream| Box::new(stream) as Box<_>));
    let errors = read(process.child.stderr.take().map(|stream| Box::new(stream) as Box<_>));
    let until = Instant::now() + limit;
    let status = loop {
        if let Some(status) = process.child.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        if Instant::now() > until {
            return Err(format!("{program} took longer than {limit:?}"));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let (output, errors) = (output.join().unwrap_or_default(), errors.join().unwrap_or_default());
    if status.success() { Ok(output) } else { Err(format!("{program}: {status}: {errors}{output}")) }
}

/// A command that the kernel kills when this process dies, where there is `setpriv`.
fn bound(program: &str) -> Command {
    if machine::has("setpriv") {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", program]);
        command
    } else {
        Command::new(program)
    }
}
