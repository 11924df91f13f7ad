//! Which processors what runs on.
//!
//! Without pipelines it decides more than the proxies do whether the kernel has the shards run on a proxy's processor, where
//! they work off in one go what it wrote, or on another, where they are woken for each write: the same proxy does half as
//! many operations again in one as in the other, and the kernel keeps to one or changes, from one round to the next. So
//! either is measured by itself, next to what the kernel makes of it. (Two processors may be one core's; that is the same
//! for all systems.)

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Who runs where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All on all processors, as the kernel likes it.
    Free,
    /// The system under test and the shards share the first processor, and the generator of the load has the last.
    Beside,
    /// The system under test has the first processor, the generator the last, and the shards what is between; on a machine
    /// with two, the generator's.
    Apart,
}

/// Whose processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The system under test.
    System,
    /// The servers behind it.
    Shards,
    /// What makes the load.
    Generator,
}

impl Layout {
    /// The group of the figures of proxies.
    #[must_use]
    pub const fn proxies(self) -> &'static str {
        match self {
            Self::Free => "proxy",
            Self::Beside => "proxy, shards on its processor",
            Self::Apart => "proxy, shards on other processors",
        }
    }

    /// Whether this machine has the processors for it, and lets itself be told.
    #[must_use]
    pub fn fits(self) -> bool {
        let all = processors();
        let bound = |role| self.place(role, processors) == self.of(role, &all);
        self == Self::Free || all.len() > 1 && bound(Role::System) && bound(Role::Generator)
    }

    /// Runs `start` so that the processes and threads that it starts are on the processors of that role. Not within itself.
    pub fn place<T>(self, role: Role, start: impl FnOnce() -> T) -> T {
        let before = sched_getaffinity(None);
        let _back = before.map(Back);
        let mut chosen = CpuSet::new();
        self.of(role, &processors()).iter().for_each(|processor| chosen.set(*processor));
        // Refused, it is found out by `fits`.
        let _ = sched_setaffinity(None, &chosen);
        start()
    }

    fn of(self, role: Role, all: &[usize]) -> &[usize] {
        match (self, role, all) {
            (Self::Beside | Self::Apart, Role::Generator, [_, .., _]) => &all[all.len() - 1..],
            (Self::Beside, _, [_, .., _]) | (Self::Apart, Role::System, [_, .., _]) => &all[..1],
            (Self::Apart, Role::Shards, [_, last]) => std::slice::from_ref(last),
            (Self::Apart, Role::Shards, [_, between @ .., _]) => between,
            _ => all,
        }
    }
}

/// Where this thread may run again, when this is dropped.
struct Back(CpuSet);

impl Drop for Back {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.0);
    }
}

/// The processors that this thread may use.
fn processors() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|processor| set.is_set(*processor)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_its_processors() {
        let of = |layout: Layout, all: &[usize]| {
            [Role::System, Role::Shards, Role::Generator].map(|role| layout.of(role, all).to_vec())
        };
        assert_eq!(of(Layout::Free, &[0, 1]), [[0, 1], [0, 1], [0, 1]]);
        assert_eq!(of(Layout::Beside, &[0, 1]), [[0], [0], [1]]);
        assert_eq!(of(Layout::Apart, &[0, 1]), [[0], [1], [1]]);
        assert_eq!(of(Layout::Beside, &[2, 3, 4]), [[2], [2], [4]]);
        assert_eq!(of(Layout::Apart, &[2, 3, 4]), [[2], [3], [4]]);
        assert_eq!(of(Layout::Apart, &[5]), [[5], [5], [5]]);
    }

    #[test]
    fn what_is_started_stays_there() {
        let all = processors();
        let inside = Layout::Beside.place(Role::Generator, || std::thread::spawn(processors).join());
        assert_eq!(inside.expect("a list"), Layout::Beside.of(Role::Generator, &all));
        assert_eq!(processors(), all);
    }
}
