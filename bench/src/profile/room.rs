//! The room of a sample: what its innermost frame belongs to, of those that belong to anything.
//!
//! In the kernel a sample belongs to the system call, with all that the kernel does on its way: over loopback, `send`
//! takes the bytes as far as into the receiver's socket, and wakes the receiver. In the process it belongs to the
//! allocator or to a copy of memory where it is in one, whoever asked for it; else to the crate of the innermost frame
//! that is not the standard library's. Each sample is in one room, so that the rooms' shares add up to the whole.

use std::collections::BTreeMap;

use crate::profile::symbol::crates;

/// The rooms, in the order of tables.
pub const ROOMS: [&str; 13] = [
    TO_SHARDS, TO_CLIENTS, RECEIVE, POLL, KERNEL, ENGINE, SURFACE, TOKIO, REDIS, ALLOCATOR, COPIES, BENCH,
    OTHER,
];

const TO_SHARDS: &str = "kernel: send to shards";
const TO_CLIENTS: &str = "kernel: send to clients";
const RECEIVE: &str = "kernel: recv";
const POLL: &str = "kernel: epoll";
const KERNEL: &str = "kernel: other";
const ENGINE: &str = "rendis: engine and core";
const SURFACE: &str = "rendis: typed API, or proxy";
const TOKIO: &str = "tokio";
const REDIS: &str = "the crate redis";
const ALLOCATOR: &str = "allocator";
const COPIES: &str = "copies of memory";
const BENCH: &str = "the benchmark itself";
const OTHER: &str = "other";

/// Whose crates are whose. What is not named here belongs to what calls it.
const CRATES: [(&str, &str); 8] = [
    ("rendis_engine", ENGINE),
    ("rendis_core", ENGINE),
    ("rendis", SURFACE),
    ("rendis_proxy", SURFACE),
    ("tokio", TOKIO),
    ("mio", TOKIO),
    ("redis", REDIS),
    ("rendis_bench", BENCH),
];

/// What marks frames of the kernel.
const KERNELS: &str = "_[k]";

/// What a system call is, in the names of the kernel's functions for it.
const CALLS: [&str; 5] = ["__x64_sys_", "__arm64_sys_", "__se_sys_", "__sys_", "ksys_"];

/// Functions of the allocator, by how their names begin.
const ALLOCATORS: [&str; 12] = [
    "malloc",
    "calloc",
    "realloc",
    "free",
    "cfree",
    "memalign",
    "posix_memalign",
    "aligned_alloc",
    "_int_",
    "tcache_",
    "unlink_chunk",
    "sysmalloc",
];

/// Functions that copy, fill or compare memory.
const COPYING: [&str; 4] = ["memcpy", "memmove", "memset", "memcmp"];

/// The share of each room in percent, of stacks as they are folded: frames from the outermost to the innermost with
/// semicolons between, those of the kernel marked with `_[k]`, then how many samples. With the number of all samples.
#[must_use]
pub fn rooms(stacks: &str) -> (BTreeMap<String, f64>, u64) {
    let (mut rooms, mut all) = (BTreeMap::new(), 0);
    for (stack, samples) in stacks.lines().filter_map(folded) {
        *rooms.entry(room(stack).to_owned()).or_insert(0.0) += samples as f64;
        all += samples;
    }
    rooms.values_mut().for_each(|share| *share *= 100.0 / all as f64);
    (rooms, all)
}

/// A line's stack and its number of samples.
fn folded(line: &str) -> Option<(&str, u64)> {
    let (stack, samples) = line.rsplit_once(' ')?;
    Some((stack, samples.parse().ok()?))
}

fn room(stack: &str) -> &'static str {
    // The outermost is the name of the program.
    let frames = stack.split(';').skip(1);
    let (kernel, user): (Vec<&str>, Vec<&str>) = frames.partition(|frame| is_kernel(frame));
    let mut inwards_out = user.iter().rev();
    if kernel.is_empty() {
        return inwards_out.find_map(|frame| owner(frame)).unwrap_or(OTHER);
    }
    // On the way back from a call its own function in the kernel has ended already; who called it still waits.
    let made = kernel.iter().find_map(|frame| call(CALLS.iter().find_map(|mark| frame.strip_prefix(mark))?));
    match made.or_else(|| user.last().and_then(|function| call(plain(function)))).unwrap_or(KERNEL) {
        TO_CLIENTS if inwards_out.find_map(|frame| product(frame)) == Some(ENGINE) => TO_SHARDS,
        call => call,
    }
}

/// The kernel's part that runs in the process, to tell the time, is the process's.
fn is_kernel(frame: &str) -> bool {
    frame.ends_with(KERNELS) && !frame.starts_with("__vdso_")
}

/// Which system call a name is of. Whom is sent to is not known here.
fn call(name: &str) -> Option<&'static str> {
    let begins = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    if begins(&["send", "write"]) {
        Some(TO_CLIENTS)
    } else if begins(&["recv", "read"]) {
        Some(RECEIVE)
    } else {
        begins(&["epoll"]).then_some(POLL)
    }
}

/// A function of the C library without what it writes before its name.
fn plain(function: &str) -> &str {
    let name = function.trim_start_matches("__").trim_start_matches("GI_").trim_start_matches("__");
    name.trim_start_matches("libc_")
}

/// What a function of the process belongs to.
fn owner(function: &str) -> Option<&'static str> {
    let plain = function.trim_start_matches("__").trim_start_matches("GI_");
    let begins =
        |names: &[&str]| names.iter().any(|name| function.starts_with(name) || plain.starts_with(name));
    if function.contains("::") {
        crates(function).find_map(of_crate)
    } else if begins(&ALLOCATORS) {
        Some(ALLOCATOR)
    } else if begins(&COPYING) {
        Some(COPIES)
    } else {
        // The C library where it has no names: then nobody knows what it did.
        function.starts_with("[libc").then_some(OTHER)
    }
}

fn of_crate(name: &str) -> Option<&'static str> {
    CRATES.iter().find(|(of, _)| *of == name).map(|(_, room)| *room)
}

/// The room of a function of ours; none where it is another's.
fn product(function: &str) -> Option<&'static str> {
    crates(function).find_map(of_crate).filter(|room| [ENGINE, SURFACE, BENCH].contains(room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sample_is_in_one_room() {
        for (stack, wanted) in [
            (
                "p;rendis_proxy::a;rendis_engine::b;__send;do_syscall_64_[k];__x64_sys_sendto_[k];tcp_[k]",
                TO_SHARDS,
            ),
            ("p;rendis_engine::b;rendis_proxy::a;tokio::c;__send;__x64_sys_sendto_[k]", TO_CLIENTS),
            ("p;tokio::c;recv;__x64_sys_recvfrom_[k];copy_[k]", RECEIVE),
            (
                "p;rendis_engine::b;__send;do_syscall_64_[k];exit_to_user_mode_loop_[k];schedule_[k]",
                TO_SHARDS,
            ),
            ("p;tokio::d;clock_gettime;__vdso_clock_gettime_[k]", TOKIO),
            ("p;mio::d;epoll_wait;__x64_sys_epoll_wait_[k]", POLL),
            ("p;rendis_engine::b;asm_exc_page_fault_[k]", KERNEL),
            ("p;rendis_engine::b;malloc;_int_malloc", ALLOCATOR),
            ("p;redis::b;cfree@GLIBC_2.2.5", ALLOCATOR),
            ("p;redis::b;__memmove_avx_unaligned_erms", COPIES),
            ("p;tokio::b;<rendis::ring::Ring as redis::aio::ConnectionLike>::a;core::c", SURFACE),
            ("p;tokio::b;<alloc::string::String as redis::types::FromRedisValue>::a", REDIS),
            ("p;_start", OTHER),
        ] {
            assert_eq!(room(stack), wanted, "{stack}");
        }
    }

    #[test]
    fn shares_add_up() {
        let (rooms, samples) = rooms("p;tokio::a 3\np;malloc 1\nnothing\n");
        assert_eq!((rooms[TOKIO], rooms[ALLOCATOR], samples), (75.0, 25.0, 4));
    }
}
