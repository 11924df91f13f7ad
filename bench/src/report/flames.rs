//! Where the time goes: shares of the samples, flame graphs, and what stands in the way of the targets that are missed.

use std::fmt::Write as _;
use std::path::Path;

use inferno::flamegraph::color::MultiPalette;
use inferno::flamegraph::{Options, Palette, from_lines};

use crate::figures::Table;
use crate::profile::ROOMS;
use crate::results::{Profile, Results};

/// Appends the section, where something was profiled; with links where there is a directory for the flame graphs.
pub(super) fn write(text: &mut String, results: &Results, plots: Option<&str>) {
    if results.profiles.is_empty() {
        return;
    }
    let _ = write!(text, "\n## Where the time goes\n\n{INTRODUCTION}");
    for (group, heading, remarks) in GROUPS {
        let profiles: Vec<&Profile> =
            results.profiles.iter().filter(|profile| profile.group == group).collect();
        if profiles.is_empty() {
            continue;
        }
        let _ = write!(text, "\n### {heading}\n\n{}", table(&profiles));
        if let Some(directory) = plots {
            let link = |profile: &&Profile| format!("[{}]({directory}/{})", profile.title, file(profile));
            let links: Vec<String> = profiles.iter().map(link).collect();
            let _ = write!(text, "\nFlame graphs: {}.\n", links.join("; "));
        }
        let _ = write!(text, "\nWhat stands in the way:\n\n{remarks}");
    }
}

/// Draws the flame graphs into a directory. One that cannot be drawn is left out.
pub(super) fn draw(results: &Results, directory: &Path) -> Result<(), String> {
    for profile in &results.profiles {
        let path = directory.join(file(profile));
        match picture(profile) {
            Ok(drawn) => {
                std::fs::write(&path, drawn).map_err(|error| format!("{}: {error}", path.display()))?;
            }
            Err(error) => eprintln!("bench: {} is not drawn: {error}", path.display()),
        }
    }
    Ok(())
}

fn file(profile: &Profile) -> String {
    format!("flame-{}.svg", profile.name)
}

/// A row a room, a column a profile; rooms that are empty everywhere are left out.
fn table(profiles: &[&Profile]) -> Table {
    let share = |profile: &Profile, room: &str| profile.rooms.get(room).copied().unwrap_or(0.0);
    let titles = profiles.iter().map(|profile| profile.title.as_str());
    let mut table = Table::new(["percent of samples"].into_iter().chain(titles));
    for room in ROOMS.iter().filter(|room| profiles.iter().any(|profile| share(profile, room) > 0.0)) {
        let shares = profiles.iter().map(|profile| format!("{:.1}", share(profile, room)));
        table.row([(*room).to_owned()].into_iter().chain(shares));
    }
    let samples = profiles.iter().map(|profile| format!("{} of {}", profile.samples, profile.event));
    table.row(["samples".to_owned()].into_iter().chain(samples));
    table
}

/// A flame graph without a script: it stands in a page as a picture, and a pointer that rests on a frame shows its name.
fn picture(profile: &Profile) -> Result<String, String> {
    let mut options = Options::default();
    options.title = format!("{}: {}", profile.group, profile.title);
    options.colors = Palette::Multi(MultiPalette::Rust);
    options.hash = true;
    options.image_width = Some(1200);
    options.min_width = NARROWEST;
    options.no_javascript = true;
    let mut drawn = Vec::new();
    from_lines(&mut options, profile.stacks.lines(), &mut drawn).map_err(|error| error.to_string())?;
    let drawn = String::from_utf8(drawn).map_err(|error| error.to_string())?;
    let drawn = without(&drawn, "<script", "</script>").replace(" onload=\"init(evt)\"", "");
    // What only the script would have used.
    let controls = ["details", "unzoom", "search", "matched"].map(|id| format!("<text id=\"{id}\""));
    Ok(controls.iter().fold(drawn, |drawn, control| without(&drawn, control, "</text>")))
}

/// A text without its first part that begins and ends so.
fn without(text: &str, begin: &str, end: &str) -> String {
    let cut = |from: usize| Some((from, from + text[from..].find(end)? + end.len()));
    text.find(begin)
        .and_then(cut)
        .map_or_else(|| text.to_owned(), |(from, to)| text[..from].to_owned() + &text[to..])
}

/// Percent of the samples below which a frame is not drawn, so that a picture stays small.
const NARROWEST: f64 = 0.3;

/// Groups, their headings, and what is said below their tables.
const GROUPS: [(&str, &str, &str); 2] = [("library", "Library", LIBRARY), ("proxy", "Proxy", PROXY)];

const INTRODUCTION: &str = "\
For the targets that are missed: where processes of one thread stood when perf looked, some thousand times a second, in a
run of its own. A sample in the kernel is put to its system call, and one in the process to what its innermost function
belongs to that is not the standard library's; a function that the compiler has put into its caller counts as the caller's.
`send` over loopback contains what the receiver's side of the kernel does with the bytes, up to waking the receiver.
In the flame graphs the breadth of a function is its share of the samples, and what stands on it is what it called; they
begin where the runtime polls a task, and leave out what is too narrow to see.
";

const LIBRARY: &str = "\
- Against `raw`: the limit sends bytes that lie ready, and counts the bytes of replies. It does not know which reply belongs to
  which caller, wakes no task, and decodes nothing. What the engine, tokio and the calling tasks take has no counterpart
  there, and is more than the kernel's part of both.
- Through `redis::AsyncCommands` (`rendis-boxed`): the crate redis builds the command and wants its futures in boxes, whoever
  serves it, and the bytes that pass through the kernel are the same. Only what lies between can be less.
- A single task waits for one reply after the other: nearly all of its time is the kernel's and the server's.
- `MGET` of many keys: taking the command apart for the shards and putting the replies together again, and an allocation for
  each value that is returned. The kernel's part is small, so that there is little to win by fewer writes.
";

const PROXY: &str = "\
- P=1: nearly all is the kernel's, and most of that is `send`. Each request costs one to its client, which nothing can share,
  and a part of one to a shard, which requests of several clients share. `floor` has the first only, and looks for no
  shard: a proxy cannot come nearer to it than its other sockets allow. Other proxies make more system calls than rendis,
  but the one that costs, the reply's, they make as often. With 500 clients the generator takes 9 to 10 µs of its processor for
  a request, so that before a proxy that keeps up with it no other can be faster; where it and the proxy are about equally
  fast, a proxy that is quicker with each request finds fewer of them to share what they cost.
- P=16: the replies to a pipeline leave in one write, and still the kernel has most of it. The rest is cutting requests and
  replies into frames, placing keys, and pairing each reply with its request.
- `MGET`: the one request is taken apart into one for each shard, and the values are put together again in the order of
  the keys, so that every key is read, placed and copied, and every value found in its reply. The shards' work for it is
  the same behind every proxy, on the same processors.
- Beside one redis-server, asked directly: there the generator and one server have the processors to themselves; here they
  share them with the proxy and two servers more, and what the kernel takes for the proxy's sockets comes on top.
- Values of 4 KiB and 1 MiB: the kernel copies every byte into the proxy and out of it again, which is most of the cost and
  the same for every proxy. What rendis saves otherwise is a smaller part the larger the value is.
- Two threads cannot help while the shards and the generator of the load want the same processors.
";
