//! What is shown, in order.

use std::sync::Arc;
use std::time::Duration;

use rendis_core::session::Sent;
use rendis_core::topology::Standing;
use tokio::time::Instant;

use super::load::{Load, Seen, Tally};
use super::screen::Screen;
use super::stage::{Act, KEYS, Scene, Stage, measured};
use super::words::{count, counted, rate, share, time};
use crate::args::DemoArguments;
use crate::local::LocalServers;
use crate::outcome::Failure;

/// Tells the whole story.
///
/// # Errors
/// No server program, a server that does not start, an output that cannot be written, or a promise of the ring that
/// was not kept; the text says which.
pub(super) async fn tell(arguments: &DemoArguments) -> Result<(), Failure> {
    let load = Duration::from_secs(arguments.seconds.unwrap_or(if arguments.fast { 2 } else { 10 }));
    let mut stage = start(arguments).await?;
    spread(&mut stage).await?;

    let callers = Load::start(stage.engine.clone(), Arc::clone(&stage.keys), usize::from(arguments.tasks));
    let steady = steady(&mut stage, &callers, arguments.tasks, load.mul_f64(0.3)).await?;
    let dead = kill(&mut stage, &callers, load.mul_f64(0.4)).await?;
    let back = restart(&mut stage, &callers, load.mul_f64(0.3)).await?;
    let last = callers.finish().await.map_err(|text| Failure::Failed(format!("a caller ended: {text}")))?;
    summary(&mut stage, [&steady, &dead, &back], &last)
}

async fn start(arguments: &DemoArguments) -> Result<Stage, Failure> {
    let mut screen = Screen::new();
    let shards = usize::from(arguments.shards);
    let servers = LocalServers::start(shards).await?;
    let program = servers.program().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let rows: Vec<String> = servers
        .iter()
        .enumerate()
        .map(|(index, server)| {
            let pid = server.pid().unwrap_or_default();
            format!("  {:<8}{}   pid {pid}", format!("shard{}", index + 1), server.address())
        })
        .collect();
    let sentence = format!(
        "These are {shards} ordinary {program} processes on this machine. They are empty and know nothing of each \
         other; rendis makes them look like one."
    );
    screen
        .heading(&format!("1 of 5: {shards} servers"), &sentence)
        .and_then(|()| screen.table(&rows))
        .map_err(|error| Failure::output(&error))?;
    let probed = arguments.fast.then_some(FAST_PROBES);
    Stage::set(screen, servers, probed).await
}

async fn spread(stage: &mut Stage) -> Result<(), Failure> {
    let sentence = format!(
        "{} keys are written, user:0 to user:{}. The hash of a key's name decides which shard it lives on; no server \
         has to be asked.",
        count(KEYS),
        KEYS - 1
    );
    stage.tell(|screen| screen.heading("2 of 5: where keys live", &sentence))?;
    let took = stage.write_all().await?;
    let (placed, counted) = (stage.spread(), stage.sizes().await?);
    if placed != counted {
        let text = format!("keys are not where they were placed: placed {placed:?}, DBSIZE {counted:?}");
        return Err(Failure::Failed(text));
    }
    let rows = stage.rows(None);
    let line = format!("  Written in {}. The servers count the same keys (DBSIZE).", time(took));
    stage.tell(|screen| screen.table(&rows).and_then(|()| screen.say(&line)))
}

async fn steady(stage: &mut Stage, load: &Load, tasks: u16, lasts: Duration) -> Result<Act, Failure> {
    let sentence = format!(
        "{} read and write these keys at random, each as fast as it is answered. Half of the calls took no longer than \
         p50, and 99 of 100 no longer than p99.",
        counted(tasks.into(), "caller")
    );
    stage.tell(|screen| screen.heading("3 of 5: load", &sentence))?;
    load.drain();
    let scene = Scene { since: Instant::now(), turn: None, lasts, after: Duration::ZERO };
    let act = stage.play(load, scene).await?;
    show(stage, &act)?;
    Ok(act)
}

async fn kill(stage: &mut Stage, load: &Load, lasts: Duration) -> Result<Act, Failure> {
    let victim = stage.victim();
    let sentence = format!(
        "{victim} is killed (SIGKILL) while the load goes on. rendis notices, takes it out of the ring, and the other \
         shards take over its keys."
    );
    stage.tell(|screen| screen.heading("4 of 5: a server dies", &sentence))?;
    load.drain();
    let since = Instant::now();
    stage.servers.kill(stage.keys.victim);
    let scene = Scene { since, turn: Some(Standing::Ejected), lasts, after: AFTER_TURN };
    let act = stage.play(load, scene).await?;
    show(stage, &act)?;
    let line = format!("  {victim} was out of the ring {} after the kill.", time(act.turned));
    stage.tell(|screen| screen.say(&line))?;
    moved(stage)?;
    heard(stage, &act.tally)?;
    Ok(act)
}

/// Which keys moved, checked against the promise that only those of the dead shard do.
fn moved(stage: &mut Stage) -> Result<(), Failure> {
    let keys = Arc::clone(&stage.keys);
    let places = stage.places();
    let all = keys.names.iter().zip(&keys.homes).zip(&places);
    let moved: Vec<_> = all
        .filter_map(|((key, home), place)| {
            let place = (*place)?;
            (place != *home).then_some((key, *home, place))
        })
        .collect();
    let own = keys.homes.iter().filter(|home| **home == keys.victim).count();
    let others = moved.iter().filter(|(_, home, _)| *home != keys.victim).count();
    let victim = stage.victim();
    if others > 0 || moved.len() != own {
        let (moved, all) = (moved.len() - others, own);
        let text =
            format!("{moved} of {all} keys of {victim} moved, and {others} keys of shards that are up");
        return Err(Failure::Failed(text));
    }
    let mut lines = vec![format!(
        "  {} of {} keys moved: all of {victim}'s and no other. For example:",
        count(own),
        count(KEYS)
    )];
    let first = (0..stage.servers.count()).filter_map(|to| moved.iter().find(|(_, _, place)| *place == to));
    for (key, home, place) in first.take(3) {
        lines.push(format!("    {key:<10} {} -> {}", stage.name(*home), stage.name(*place)));
    }
    stage.tell(|screen| lines.iter().try_for_each(|line| screen.say(line)))
}

/// What callers saw of the death.
fn heard(stage: &mut Stage, tally: &Tally) -> Result<(), Failure> {
    let victim = stage.victim();
    let line = |whose: &str, seen: &Seen| {
        let (calls, errors) = (count(seen.calls()), counted(seen.failures(), "error"));
        format!("  Calls with keys of {whose}: {errors} in {calls}, longest {}.", time(seen.longest()))
    };
    let mut lines = vec![line("other shards", &tally.spared), line(&victim, &tally.struck)];
    let mut all = tally.all();
    all.errors.sort_by_key(|errors| std::cmp::Reverse(errors.count));
    for errors in &all.errors {
        let meaning = match errors.sent {
            Sent::No => "sent: no     never written, so safe to repeat",
            Sent::Maybe => "sent: maybe  the outcome is unknown",
        };
        lines.push(format!("  {:>5} x {:?}, {meaning}", count(errors.count), errors.kind));
        lines.push(format!("          {}", errors.example));
    }
    if tally.struck.missed > 0 {
        lines.push(format!(
            "  {} found nothing, because what {victim} held died with it.",
            counted(tally.struck.missed, "read")
        ));
    }
    stage.tell(|screen| lines.iter().try_for_each(|line| screen.say(line)))
}

async fn restart(stage: &mut Stage, load: &Load, lasts: Duration) -> Result<Act, Failure> {
    let victim = stage.victim();
    let sentence = format!(
        "{victim} is started again, empty, while the load goes on. When it has answered two probes in a row (a shard \
         that is down is probed ever more seldom), its keys go back to it."
    );
    stage.tell(|screen| screen.heading("5 of 5: it comes back", &sentence))?;
    load.drain();
    let since = Instant::now();
    stage.servers.restart(stage.keys.victim).await?;
    let after = lasts.max(AFTER_TURN);
    let scene = Scene { since, turn: Some(Standing::Serving), lasts: Duration::ZERO, after };
    let act = stage.play(load, scene).await?;
    show(stage, &act)?;
    let home =
        stage.places().iter().zip(&stage.keys.homes).filter(|(place, home)| **place == Some(**home)).count();
    if home != KEYS {
        let text = format!("{} of {KEYS} keys are not where they were before", KEYS - home);
        return Err(Failure::Failed(text));
    }
    let line = format!(
        "  {victim} was back {} after its start; all {} keys are home again.",
        time(act.turned),
        count(KEYS)
    );
    let left = left_over(stage).await?;
    stage.tell(|screen| {
        screen.say(&line)?;
        if left == 0 {
            Ok(())
        } else {
            screen.say(&format!(
                "  The other shards still hold {} copies that were written while it was away.",
                count(left)
            ))
        }
    })?;
    Ok(act)
}

/// How many keys the servers hold beside those that live on them: what was written there while the dead one was away.
async fn left_over(stage: &Stage) -> Result<usize, Failure> {
    let (placed, held) = (stage.spread(), stage.sizes().await?);
    Ok(held.iter().zip(&placed).map(|(held, placed)| held.saturating_sub(*placed)).sum())
}

fn show(stage: &mut Stage, act: &Act) -> Result<(), Failure> {
    let line = format!("  {}", measured(&act.tally, act.tally.failures(), act.span));
    stage.tell(|screen| screen.table(&act.rows).and_then(|()| screen.say(&line)))
}

fn summary(stage: &mut Stage, acts: [&Act; 3], last: &Tally) -> Result<(), Failure> {
    let [_, dead, back] = acts;
    let row = |name: &str, value: &dyn Fn(&Act) -> String| {
        let [steady, dead, back] = acts.map(value);
        format!("  {name:<8}{steady:>11}{dead:>11}{back:>11}")
    };
    let mut sum = last.clone();
    acts.iter().for_each(|act| sum.add(&act.tally));
    let sum = sum.all();
    let own = stage.keys.homes.iter().filter(|home| **home == stage.keys.victim).count();
    let lines = [
        format!("  {:<8}{:>11}{:>11}{:>11}", "", "all up", "one dead", "back"),
        row("calls", &|act| count(act.tally.all().calls())),
        row("calls/s", &|act| count(rate(act.tally.all().calls(), act.span))),
        row("p50", &|act| time(act.tally.all().quantile(0.5))),
        row("p99", &|act| time(act.tally.all().quantile(0.99))),
        row("longest", &|act| time(act.tally.all().longest())),
        row("errors", &|act| count(act.tally.failures())),
        String::new(),
        format!(
            "  {:<16}{} of {} ({:.1} %)",
            "keys moved",
            count(own),
            count(KEYS),
            share(own, KEYS) * 100.0
        ),
        format!("  {:<16}{} after the kill", "out of the ring", time(dead.turned)),
        format!("  {:<16}{} after the start", "back in it", time(back.turned)),
        format!("  {:<16}{} in {} calls", "in all", counted(sum.failures(), "error"), count(sum.calls())),
    ];
    let sentence = "One of the servers died and came back under load; this is what callers saw.";
    stage.tell(|screen| screen.heading("Summary", sentence).and_then(|()| screen.table(&lines)))
}

/// How often shards are probed with `--fast`.
const FAST_PROBES: Duration = Duration::from_millis(100);
/// How long a scene goes on after its turn, at least.
const AFTER_TURN: Duration = Duration::from_millis(500);
