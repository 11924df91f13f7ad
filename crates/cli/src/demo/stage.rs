//! What the story is played on: servers, the ring over them, and what is seen of both while time passes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use console::Style;
use rendis_core::command::Repeat;
use rendis_core::id::ShardId;
use rendis_core::request::RequestBuf;
use rendis_core::session::Replies;
use rendis_core::topology::Standing;
use rendis_engine::engine::{Engine, EngineConfig};
use rendis_engine::gather::Executed;
use rendis_engine::settings::{Settings, ShardSettings};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::load::{Keys, Load, Tally, set};
use super::screen::Screen;
use super::words::{count, counted, rate, share, time};
use crate::local::LocalServers;
use crate::outcome::Failure;

/// See the module.
pub(super) struct Stage {
    pub(super) screen: Screen,
    pub(super) engine: Engine,
    pub(super) servers: LocalServers,
    pub(super) keys: Arc<Keys>,
    /// Requests that each shard had taken at the last look, and when that was.
    looked: (Vec<u64>, Instant),
}

/// What to wait for while the load runs.
#[derive(Clone, Copy)]
pub(super) struct Scene {
    /// When what is waited for was brought about.
    pub(super) since: Instant,
    /// Whether the shard that is killed is waited for, to be in the ring or out of it.
    pub(super) turn: Option<Standing>,
    /// How long the scene lasts, at least.
    pub(super) lasts: Duration,
    /// How long it goes on after the turn, at least.
    pub(super) after: Duration,
}

/// What happened in a scene.
pub(super) struct Act {
    pub(super) tally: Tally,
    pub(super) span: Duration,
    /// When the turn came, counted from the scene's `since`.
    pub(super) turned: Duration,
    /// The shards at its end, with their calls per second in it.
    pub(super) rows: Vec<String>,
}

impl Stage {
    /// Makes a ring of the servers, with the settings that it has by default but for how often shards are probed.
    pub(super) async fn set(
        screen: Screen,
        servers: LocalServers,
        probed: Option<Duration>,
    ) -> Result<Self, Failure> {
        let shards = servers.iter().enumerate().map(|(index, server)| {
            ShardSettings::new(format!("shard{}", index + 1), &format!("redis://{}", server.address()))
        });
        let shards = shards.collect::<Result<_, _>>().map_err(|error| Failure::Failed(error.to_string()))?;
        let mut settings = Settings::default();
        settings.health.votes.interval = probed.unwrap_or(settings.health.votes.interval);
        let config = EngineConfig { shards, settings, ..EngineConfig::default() };
        let engine = Engine::start(config).await.map_err(|error| Failure::Failed(error.to_string()))?;
        let names: Vec<String> = (0..KEYS).map(|number| format!("user:{number}")).collect();
        let homes = locate(&engine, &names).into_iter().flatten().collect();
        let keys = Arc::new(Keys { names, homes, victim: VICTIM });
        Ok(Self { screen, engine, servers, keys, looked: (Vec::new(), Instant::now()) })
    }

    /// The name of a shard.
    pub(super) fn name(&self, index: usize) -> String {
        let topology = self.engine.topology();
        topology.member(ShardId::new(index)).map(|member| member.node.name.clone()).unwrap_or_default()
    }

    /// The name of the shard that is killed.
    pub(super) fn victim(&self) -> String {
        self.name(self.keys.victim)
    }

    /// Where each key is now.
    pub(super) fn places(&self) -> Vec<Option<usize>> {
        locate(&self.engine, &self.keys.names)
    }

    /// How many keys each shard has now.
    pub(super) fn spread(&self) -> Vec<usize> {
        let mut spread = vec![0; self.servers.count()];
        for place in self.places().into_iter().flatten() {
            if let Some(keys) = spread.get_mut(place) {
                *keys += 1;
            }
        }
        spread
    }

    /// Writes every key, in one pipeline.
    pub(super) async fn write_all(&self) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let requests: Vec<RequestBuf> = self.keys.names.iter().map(|key| set(key)).collect();
        for result in self.engine.pipeline(&requests).await {
            match result {
                Ok(Executed::Reply(reply)) if reply.is_ok() => {}
                Ok(other) => return Err(Failure::Failed(format!("a key was not written: {other:?}"))),
                Err(error) => return Err(Failure::Failed(format!("a key was not written: {error}"))),
            }
        }
        Ok(begun.elapsed())
    }

    /// How many keys each server counts.
    pub(super) async fn sizes(&self) -> Result<Vec<usize>, Failure> {
        let mut sizes = Vec::new();
        let question = RequestBuf::pack([&b"DBSIZE"[..]]);
        for index in 0..self.servers.count() {
            let answer = self.engine.call_shard(ShardId::new(index), &question, Repeat::Read).await;
            let size = match &answer {
                Ok(Replies::One(reply)) => reply.as_integer().and_then(|size| usize::try_from(size).ok()),
                _ => None,
            };
            let told =
                || Failure::Failed(format!("{} does not count its keys: {answer:?}", self.name(index)));
            sizes.push(size.ok_or_else(told)?);
        }
        Ok(sizes)
    }

    /// Lets time pass and shows what goes on.
    pub(super) async fn play(&mut self, load: &Load, scene: Scene) -> Result<Act, Failure> {
        let begun = Instant::now();
        let mut changes = self.engine.changes();
        let mut ticks = interval(self.screen.pace());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        let (mut tally, mut turned) = (Tally::default(), None);
        let requests = self.requests();
        self.looked = (requests.clone(), begun);
        loop {
            if turned.is_none() && scene.turn.is_none_or(|turn| self.standing() == Some(turn)) {
                turned = Some(scene.since.elapsed());
            }
            let end = match turned {
                Some(turned) => (begun + scene.lasts).max(scene.since + turned + scene.after),
                None => begun + scene.lasts.max(PATIENCE),
            };
            // The end is looked at first, so that what is left to show then is a whole span where the two meet.
            let ended = tokio::select! {
                biased;
                () = sleep_until(end) => true,
                _ = changes.changed() => continue,
                _ = ticks.tick() => false,
            };
            let seen = load.drain();
            tally.add(&seen);
            self.show(&seen, tally.failures(), begun)?;
            if ended {
                break;
            }
        }
        self.screen.clear().map_err(|error| Failure::output(&error))?;
        let Some(turned) = turned else {
            let what = if scene.turn == Some(Standing::Serving) { "not back in" } else { "still in" };
            let waited = time(scene.since.elapsed());
            return Err(Failure::Failed(format!("{} is {what} the ring after {waited}", self.victim())));
        };
        let rates = rates(&requests, &self.requests(), begun.elapsed());
        Ok(Act { tally, span: begun.elapsed(), turned, rows: self.rows(Some(&rates)) })
    }

    /// `seen` since the last look, `errors` since the scene began.
    fn show(&mut self, seen: &Tally, errors: u64, begun: Instant) -> Result<(), Failure> {
        let requests = self.requests();
        let span = self.looked.1.elapsed();
        let rates = rates(&self.looked.0, &requests, span);
        self.looked = (requests, Instant::now());
        let mut panel = self.rows(Some(&rates));
        let load = measured(seen, errors, span);
        panel.push(format!("  {load}"));
        let up = format!("{} of {} up", self.engine.topology().live().len(), rates.len());
        let brief = format!("  {:.1} s: {load}   {up}", begun.elapsed().as_secs_f64());
        self.screen.show(&panel, &brief).map_err(|error| Failure::output(&error))
    }

    /// The shards as lines: in the ring or not, their part of the keys, a bar of it, and calls per second.
    pub(super) fn rows(&self, rates: Option<&[u64]>) -> Vec<String> {
        let spread = self.spread();
        let names = (0..spread.len()).map(|index| self.name(index).len()).max().unwrap_or_default();
        let (fixed, calls) = (names + 32, 19);
        let width = self.screen.width();
        let bar = width.saturating_sub(fixed + calls).min(WIDEST_BAR);
        let mut rows = Vec::with_capacity(spread.len());
        for (index, keys) in spread.into_iter().enumerate() {
            let (state, style) = if self.is_up(index) {
                ("up  ", Style::new().green())
            } else {
                ("down", Style::new().red().bold())
            };
            let part = share(keys, KEYS);
            let mut row = format!(
                "  {:<names$}  {}  {:>5.1} %  {:>6} keys  {}",
                self.name(index),
                style.apply_to(state),
                part * 100.0,
                count(keys),
                self.screen.bar(part, bar),
            );
            // What does not fit is left out.
            if let Some(rate) = rates.and_then(|rates| rates.get(index)).filter(|_| width >= fixed + calls) {
                row.push_str(&format!("  {:>9} calls/s", count(*rate)));
            }
            rows.push(row.trim_end().to_owned());
        }
        rows
    }

    fn standing(&self) -> Option<Standing> {
        let topology = self.engine.topology();
        topology.member(ShardId::new(self.keys.victim)).map(|member| member.standing)
    }

    fn is_up(&self, index: usize) -> bool {
        self.engine.topology().live().contains(&ShardId::new(index))
    }

    fn requests(&self) -> Vec<u64> {
        self.engine.topology().members().iter().map(|member| member.shard.wire_stats().requests).collect()
    }

    /// Writes to the screen.
    pub(super) fn tell(&mut self, write: impl FnOnce(&mut Screen) -> io::Result<()>) -> Result<(), Failure> {
        write(&mut self.screen).map_err(|error| Failure::output(&error))
    }
}

/// What callers saw in this span, as a line.
pub(super) fn measured(seen: &Tally, errors: u64, span: Duration) -> String {
    let all = seen.all();
    let rate = count(rate(all.calls(), span));
    let (half, most) = (time(all.quantile(0.5)), time(all.quantile(0.99)));
    format!("{rate} calls/s   p50 {half}   p99 {most}   {}", counted(errors, "error"))
}

fn locate(engine: &Engine, keys: &[String]) -> Vec<Option<usize>> {
    let topology = engine.topology();
    keys.iter().map(|key| topology.locate(key.as_bytes()).map(ShardId::index)).collect()
}

fn rates(before: &[u64], after: &[u64], span: Duration) -> Vec<u64> {
    before.iter().zip(after).map(|(before, after)| rate(after.saturating_sub(*before), span)).collect()
}

/// How many keys there are.
pub(super) const KEYS: usize = 10_000;
/// The shard that is killed: neither the first nor, of three, the last.
const VICTIM: usize = 1;
const WIDEST_BAR: usize = 40;
/// How long a turn may take before it is a failure.
const PATIENCE: Duration = Duration::from_secs(20);
