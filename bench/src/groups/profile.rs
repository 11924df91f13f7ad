//! Where the time goes: profiles of the library and of the proxy where targets are hard, and of the floor to compare.
//! Nothing here can fail a run; what cannot be profiled is named.

use std::time::Duration;

use rendis_testkit::Cluster;

use crate::groups::{Scope, Stage, library, proxy};
use crate::load::{Load, Operation};
use crate::machine;
use crate::process::Process;
use crate::profile::{LEAD, LENGTH, obstacle, record, rooms};
use crate::results::Profile;
use crate::system::{Kind, Server};

/// Seconds that a load has to last, with some to spare.
const LOADED: f64 = LEAD + LENGTH + 0.5;

/// Clients of a proxy, as in the tables.
const CLIENTS: usize = 50;

/// A system and a load: the table's heading, the picture's name, the column's heading.
type Spot<T> = ([&'static str; 3], T);

pub(super) fn run(stage: &mut Stage) -> Result<(), String> {
    let libraries = wanted(stage, library_spots());
    let proxies = wanted(stage, proxy_spots());
    if libraries.is_empty() && proxies.is_empty() {
        return Ok(());
    }
    if let Some(why) = obstacle() {
        return Err(why);
    }
    let cluster = stage.shards(3);
    for (names, (system, load)) in libraries {
        let profile = of_library(stage, &cluster, system, &load);
        put(stage, names, profile);
    }
    if !proxies.is_empty() && !machine::has("redis-benchmark") {
        return Err("redis-benchmark is not installed: no profiles of proxies".to_owned());
    }
    for (names, (kind, depth, tests)) in proxies {
        let profile = of_proxy(stage, &cluster, kind, depth, &tests);
        put(stage, names, profile);
    }
    Ok(())
}

fn wanted<T>(stage: &Stage, mut spots: Vec<Spot<T>>) -> Vec<Spot<T>> {
    spots.retain(|([group, _, title], _)| stage.wants("profile", &format!("{group}, {title}"), Scope::Full));
    spots
}

/// The library, and what it is asked to do.
fn library_spots() -> Vec<Spot<(&'static str, Load)>> {
    let mget = Load::mixed(16).of(Operation::Mget, 100);
    vec![
        (["library", "library", "GET and SET, 512 tasks"], ("rendis", Load::mixed(512))),
        (["library", "library-frames", "untyped frames, 512 tasks"], ("rendis-frames", Load::mixed(512))),
        (["library", "library-mget", "MGET of 100 keys, 16 tasks"], ("rendis", mget)),
    ]
}

/// The server, the depth of pipelines, and what redis-benchmark is told to test.
fn proxy_spots() -> Vec<Spot<(Kind, usize, Vec<String>)>> {
    let set_get = || ["-t set", "-t get"].map(str::to_owned).to_vec();
    let mget = format!("MGET{}", " key:__rand_int__".repeat(100));
    vec![
        (["proxy", "proxy", "50 clients, P=1"], (Kind::Rendis(1), 1, set_get())),
        (["proxy", "proxy-pipelines", "50 clients, P=16"], (Kind::Rendis(1), 16, set_get())),
        (["proxy", "proxy-mget", "MGET of 100 keys, 50 clients"], (Kind::Rendis(1), 1, vec![mget])),
        (["proxy", "floor", "floor, 50 clients, P=1"], (Kind::Floor(64), 1, set_get())),
    ]
}

fn of_library(stage: &Stage, cluster: &Cluster, system: &str, load: &Load) -> Result<Profile, String> {
    let driver = stage.driver(system, 1, &cluster.urls(), false)?;
    let (id, mut drivers) = (driver.id(), [driver]);
    library::fill(cluster, &mut drivers, load)?;
    let [mut driver] = drivers;
    sampled(id, || driver.run(&Load { seconds: LOADED, ..load.clone() }).map(drop))
}

fn of_proxy(
    stage: &Stage,
    cluster: &Cluster,
    kind: Kind,
    depth: usize,
    tests: &[String],
) -> Result<Profile, String> {
    let addresses: Vec<_> = cluster.iter().map(rendis_testkit::RedisServer::address).collect();
    let servers = [Server::start(kind, &stage.tools, &addresses)?];
    let load = Load::mixed(CLIENTS).of(Operation::Pipeline, depth);
    proxy::fill(cluster, &servers, &load)?;
    let [server] = servers;
    sampled(server.id(), || asked(&server, &load, tests))
}

/// Runs redis-benchmark with one test after the other, for the same time each.
fn asked(server: &Server, load: &Load, tests: &[String]) -> Result<(), String> {
    let options = format!(
        "-p {} -c {} -P {} -d {} -r {} -n 2000000000",
        server.address().port(),
        load.tasks,
        load.batch,
        load.value,
        load.keys
    );
    for test in tests {
        let mut benchmark = Process::start("redis-benchmark", &words(&format!("{options} {test}")), None)?;
        std::thread::sleep(Duration::from_secs_f64(LOADED / tests.len() as f64));
        if benchmark.ended() {
            return Err("redis-benchmark ended early".to_owned());
        }
    }
    Ok(())
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn sampled(process: u32, load: impl FnOnce() -> Result<(), String> + Send) -> Result<Profile, String> {
    let (event, stacks) = record(process, load)?;
    let (rooms, samples) = rooms(&stacks);
    Ok(Profile { event: event.to_owned(), samples, rooms, stacks, ..Profile::default() })
}

/// Puts a profile into the results and onto the screen, or says why there is none.
fn put(stage: &mut Stage, [group, name, title]: [&str; 3], profile: Result<Profile, String>) {
    let profile = match profile {
        Ok(profile) => profile,
        Err(error) => {
            let line = error.lines().next().unwrap_or_default();
            stage.note(format!("profile, {group}, {title}: {line}"));
            return;
        }
    };
    println!("profile: {group}, {title}: {} samples of {}", profile.samples, profile.event);
    let [group, name, title] = [group, name, title].map(str::to_owned);
    stage.results.put_profile(Profile { group, name, title, ..profile });
    if let Err(error) = stage.results.write(&stage.file) {
        eprintln!("{error}");
    }
}
