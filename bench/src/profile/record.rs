//! perf, as a program: samples of a process at work, folded into stacks.

use std::time::Duration;

use inferno::collapse::Collapse;
use inferno::collapse::perf::{Folder, Options};

use crate::machine;
use crate::process::output;
use crate::profile::symbol::tidy;

/// Seconds that are sampled, after [`LEAD`].
pub const LENGTH: f64 = 3.0;

/// Seconds from the beginning of a load to the first sample.
pub const LEAD: f64 = 0.5;

/// Samples a second of a processor's time.
const FREQUENCY: &str = "2000";

/// Stacks are followed by what the compiler wrote for unwinding, from a copy of so many bytes: the C library's `send` and
/// `recv` use the register of frame pointers, and following these lost who called in 70 % of a proxy's samples, here in
/// none. And it takes no other build: what is profiled is what was measured.
const CALLS: &str = "dwarf,16384";

/// What is told of a sample. Not how much it stands for, so that each counts as one.
const FIELDS: &str = "comm,pid,tid,time,event,ip,sym,dso";

/// Why nothing can be profiled here; `None` where it can.
#[must_use]
pub fn obstacle() -> Option<String> {
    if !machine::has("perf") {
        return Some("perf is not installed".to_owned());
    }
    let file = tempfile::NamedTempFile::new().ok()?;
    let path = file.path().display().to_string();
    let tried = perf(&["record", "-e", "cpu-clock", "--call-graph", CALLS, "-o", &path, "--", "true"]);
    tried.err().map(|error| format!("perf may not record: {}", error.lines().next().unwrap_or_default()))
}

/// Samples a process while it is under load, which has to last for [`LEAD`] and [`LENGTH`]. Gives the event whose samples
/// they are, and a line a stack: frames from the outermost to the innermost with semicolons between, those of the kernel
/// marked with `_[k]`, then the number of samples.
///
/// # Errors
/// When the load fails, or perf.
pub fn record(
    process: u32,
    load: impl FnOnce() -> Result<(), String> + Send,
) -> Result<(&'static str, String), String> {
    let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let (path, id, length) = (file.path().display().to_string(), process.to_string(), LENGTH.to_string());
    let event = event();
    std::thread::scope(|scope| {
        let load = scope.spawn(load);
        std::thread::sleep(Duration::from_secs_f64(LEAD));
        let what = ["record", "-e", event, "-F", FREQUENCY, "--call-graph", CALLS, "-p", &id];
        let recorded = perf(&[&what[..], &["-o", &path, "--", "sleep", &length]].concat());
        load.join().map_err(|_| "the load panicked".to_owned())??;
        recorded
    })?;
    let stacks = folded(&perf(&["script", "--no-inline", "-F", FIELDS, "-i", &path])?)?;
    if !stacks.contains("_[k]") {
        return Err("perf may not see the kernel here".to_owned());
    }
    Ok((event, stacks))
}

/// Processor cycles where they can be counted, else the processor's time.
fn event() -> &'static str {
    let counted = perf(&["stat", "--log-fd", "1", "-x", ",", "-e", "cycles", "true"]);
    if counted.is_ok_and(|text| !text.contains("<not")) { "cycles" } else { "cpu-clock" }
}

fn perf(arguments: &[&str]) -> Result<String, String> {
    let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
    output("perf", &arguments, Duration::from_secs(120))
}

/// What `perf script` wrote, with a line a stack.
fn folded(script: &str) -> Result<String, String> {
    let mut options = Options::default();
    options.annotate_kernel = true;
    let mut folded = Vec::new();
    let done = Folder::from(options).collapse(script.as_bytes(), &mut folded);
    done.map_err(|error| format!("perf script: {error}"))?;
    Ok(String::from_utf8_lossy(&folded).lines().map(|line| tidied(line) + "\n").collect())
}

/// A stack whose functions have short names, from the task on that the runtime polls: what is around that is the same
/// for all, and is not there where a stack is deeper than what was copied of it.
fn tidied(line: &str) -> String {
    let (stack, samples) = line.rsplit_once(' ').unwrap_or((line, "0"));
    let frames: Vec<String> = stack.split(';').filter(|frame| *frame != "[unknown]").map(tidy).collect();
    let first = frames.iter().rposition(|frame| frame == POLL).unwrap_or(1);
    let (name, inner) = (frames.iter().take(1), frames.iter().skip(first));
    let stack: Vec<&str> = name.chain(inner).map(String::as_str).collect();
    format!("{} {samples}", stack.join(";"))
}

/// What the runtime polls a task by.
const POLL: &str = "tokio::runtime::task::raw::poll";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_a_line_and_the_kernel_is_marked() {
        let script = "rendis 7/7 1.5: cpu-clock: \n\
            \tffff tcp_sendmsg+0x1 ([kernel.kallsyms])\n\
            \t55aa rendis_proxy::client::{{closure}}::h0123456789abcdef+0x2 (/somewhere/rendis)\n\
            \t55ab tokio::runtime::task::raw::poll+0x3 (/somewhere/rendis)\n\
            \t55ac main+0x4 (/somewhere/rendis)\n\n";
        let wanted =
            "rendis;tokio::runtime::task::raw::poll;rendis_proxy::client::{closure};tcp_sendmsg_[k] 1\n";
        assert_eq!(folded(script).as_deref(), Ok(wanted));
    }
}
