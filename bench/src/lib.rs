//! rendis beside what one would use instead, on the same machine in the same run. `scripts/bench.sh` runs it.
//!
//! A *system under test* is a process: a library in a driver ([`drive`]), or a server that is spoken to. A *load* is
//! what it is asked to do. In a *round* every system gets the load once, one after the other; rounds repeat, so that
//! what disturbs the machine disturbs all of them. A *table* is made of the rounds' figures, and the report of tables.
//!
//! The rooms, from the bottom up; a module names only modules listed before it.

pub mod machine;
pub mod layout;
pub mod figures;
pub mod load;
pub mod results;
pub mod drive;
pub mod process;
pub mod wire;
pub mod system;
pub mod profile;
pub mod groups;
pub mod report;
