//! What an earlier revision did beside this one, in the same rounds.

use std::fmt::Write as _;

use crate::figures::Table;
use crate::results::Results;
use crate::system::BEFORE;

/// Appends the section, where an earlier revision was measured.
pub(super) fn write(text: &mut String, results: &Results) {
    let mut table =
        Table::new(["", "throughput, now ÷ before", "processor time of an operation, now ÷ before"]);
    let mut rows = 0;
    for cell in results.cells.iter().filter(|cell| !cell.get(BEFORE, RATE).is_empty()) {
        let ratio = |metric| cell.ratio("rendis", BEFORE, metric).text();
        table.row([format!("{}: {}", cell.group, cell.name), ratio(RATE), ratio("CPU µs/op")]);
        rows += 1;
    }
    if rows > 0 {
        let _ = write!(text, "\n## Before and after\n\n{INTRODUCTION}\n`before` is {}.\n\n", results.before);
        let _ = write!(text, "{table}\n{REMOVED}");
    }
}

const RATE: &str = "ops/s";

const INTRODUCTION: &str = "\
rendis beside an earlier revision of itself, one system more in the same rounds: what was gained by what the profiles led
to, and what everything else that was added since costs.
";

const REMOVED: &str = "\
Costs that profiles showed, and that are gone:

- `redis::AsyncCommands` puts each future into a box, and builds each command before it is packed. `rendis::Commands`
  packs it at once and waits without a box.
- The future of a request that has to be planned (`MGET`) was large, and was moved into a box; what is rare in it has boxes
  of its own now. And it read the clock several times for each part; now all parts count from when the request began.
- A script with one key was planned as well. Now it takes the short way of a request with one key.
- `MGET` and the like copied every key into a request for its shard, and that into the wire. Now each part is written to
  the wire out of the whole request.
- A wire read up to 128 KiB and answered all of it before its callers could go on, so that clients and servers took turns.
  Now they run after eight replies that make 16 KiB, and after 64 KiB however few.
- A known script was hashed again by each `EVAL`. Now its text is compared.
- The proxy copied replies that a client does not want, and kept a timer of the runtime for each client that waited.
- The proxy asked for each reply of a pipeline through a future of its own, paired each by itself, and looked each command
  up once more to count it. Now runs of replies are paired and handed out at once, and a batch says what it sent.

Where a median is below 1 and 1 lies within its brackets, the rounds differ by more than the two revisions do; most of all
with values of 1 MiB.
";
