//! Where a process spends its time: sampled by perf, folded into stacks, and each sample put into one room.

mod symbol;
mod room;
mod record;

pub use record::{LEAD, LENGTH, obstacle, record};
pub use room::{ROOMS, rooms};
