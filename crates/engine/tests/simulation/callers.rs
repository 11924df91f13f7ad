//! Who asks, for what.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::calls::{Ask, PRIMES, REGISTERS, register};
use crate::world::World;

/// One caller: asks until the end, one thing after the other, and sometimes many at once.
pub(crate) async fn call(world: Arc<World>, caller: usize, until: Instant) {
    let dice = &world.dice;
    while Instant::now() < until {
        sleep(dice.millis(0..=80)).await;
        let patience = dice.percent(8).then(|| dice.millis(0..=30));
        match dice.number(0..=21) {
            0 => {
                let burst = (0..dice.number(2..=20)).map(|_| world.ask(world.of_anybody(), patience));
                join_all(burst).await;
            }
            1 | 2 => {
                let asks: Vec<_> = (0..dice.number(1..=12)).map(|_| world.of_anybody()).collect();
                world.ask_together(&asks, patience).await;
            }
            3 => world.ask_at_once(&world.transaction(caller), patience).await,
            4 => drop(world.ask(Ask::Wait, patience).await),
            5 => world.ask_watched(world.watched(caller), patience).await,
            6 => drop(world.ask(world.news(), patience).await),
            7..=13 => drop(world.ask(world.of_anybody(), patience).await),
            _ => drop(world.ask(world.of_caller(caller), patience).await),
        }
    }
}

impl World {
    /// A request for a key that only this caller writes.
    fn of_caller(&self, caller: usize) -> Ask {
        let key = register(caller, self.dice.index(REGISTERS));
        match self.dice.number(0..=9) {
            0..=4 => Ask::Get(key),
            5..=8 => Ask::Set(key, self.token()),
            _ => Ask::Del(key, self.token()),
        }
    }

    /// Something for those who listen.
    fn news(&self) -> Ask {
        Ask::Publish(self.dice.percent(25), self.channel(), self.token())
    }

    /// A request that anybody makes.
    fn of_anybody(&self) -> Ask {
        let dice = &self.dice;
        let any = || format!("s:{}", dice.index(20));
        match dice.number(0..=9) {
            0 => Ask::Get(register(dice.index(self.callers), dice.index(REGISTERS))),
            1 if dice.percent(50) => self.news(),
            1 => Ask::Get(any()),
            2..=4 => Ask::Add(dice.index(PRIMES.len()), self.token()),
            5 => Ask::Script(dice.index(PRIMES.len()), self.token()),
            6 | 7 => Ask::Swap(any(), self.token()),
            8 if dice.percent(20) => Ask::Set(format!("w:{}", dice.index(2)), self.token()),
            8 => Ask::MGet((0..dice.number(1..=6)).map(|_| any()).collect()),
            _ => Ask::MSet((0..dice.number(1..=4)).map(|_| (any(), self.token())).collect()),
        }
    }

    /// A key that is read and set under a watch: mostly one that others set as well.
    fn watched(&self, caller: usize) -> String {
        let own = self.dice.percent(30);
        if own { register(caller, self.dice.index(REGISTERS)) } else { format!("w:{}", self.dice.index(2)) }
    }
}
