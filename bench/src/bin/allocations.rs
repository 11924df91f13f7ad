//! The drivers of libraries again, with an allocator that counts. A program of its own, so that counting weighs on
//! nothing else.

use clap::Parser;
use rendis_bench::drive;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    driver: drive::Arguments,
}

fn main() -> Result<(), String> {
    drive::serve(&Arguments::parse().driver, |run| Some(allocation_counter::measure(run).count_total))
}
