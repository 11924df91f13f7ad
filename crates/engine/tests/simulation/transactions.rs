//! What is asked for in one go, and under a watch.

use std::collections::BTreeMap;
use std::time::Duration;

use rendis_core::request::RequestBuf;
use rendis_engine::engine::Engine;
use rendis_engine::error::Error;
use rendis_engine::gather::Executed;
use rendis_testkit::Reply;
use tokio::time::{sleep, timeout};

use crate::calls::{Ask, FOR_EVER, Told, register, token_of, told};
use crate::world::World;

impl World {
    /// Asks for a transaction.
    pub(crate) async fn ask_at_once(&self, asks: &[Ask], patience: Option<Duration>) {
        let began: Vec<_> = asks.iter().map(|ask| self.begin(ask)).collect();
        self.ledger().begin_together(asks);
        let requests: Vec<_> = asks.iter().map(|ask| ask.request(self)).collect();
        let whole = match timeout(patience.unwrap_or(FOR_EVER), self.engine().transaction(&requests)).await {
            Ok(result) => result.map(|executions| told(&executions.reply)),
            Err(_) => Ok(Told::Dropped),
        };
        if let Ok(Told::Answer(Reply::Array(replies))) = &whole {
            self.ledger().summary.together += 1;
            if !saw_itself(asks, replies) {
                self.trace.wrong(|| format!("{asks:?} in one go: {replies:?}"));
            }
        }
        for (index, (ask, began)) in asks.iter().zip(began).enumerate() {
            let told = match &whole {
                Ok(Told::Answer(Reply::Array(replies))) if replies.len() == asks.len() => {
                    Told::Answer(replies[index].clone())
                }
                // One lie about all of them.
                Ok(told) if told.is_lie() && index > 0 => Told::Dropped,
                Ok(told) => told.clone(),
                Err(error) => Told::Failed(error.clone()),
            };
            self.judge(ask, began, &told);
        }
    }

    /// Reads a key, and sets it unless somebody else did so meanwhile.
    pub(crate) async fn ask_watched(&self, key: String, patience: Option<Duration>) {
        let ask = Ask::Watch(key.clone(), self.token());
        let began = self.begin(&ask);
        let watched = self.watch(self.engine(), &ask, &key);
        let told = match timeout(patience.unwrap_or(FOR_EVER), watched).await {
            Ok(Ok(reply)) => Told::Answer(reply),
            Ok(Err(error)) => Told::Failed(error),
            Err(_) => Told::Dropped,
        };
        self.ledger().summary.conflicts += u64::from(matches!(told, Told::Answer(Reply::Nil)));
        self.judge(&ask, began, &told);
    }

    /// As `rendis::Ring::watch` does it.
    async fn watch(&self, engine: &Engine, ask: &Ask, key: &str) -> Result<Reply, Error> {
        let pack = |words: &[&str]| RequestBuf::pack(words.iter().map(|word| word.as_bytes()));
        let watch = ask.request(self);
        let shard = match engine.execute(watch.view()).await? {
            Executed::Transaction { shard: Some(id), .. } => engine.shard(id)?,
            other => panic!("{ask:?} is no {other:?}"),
        };
        let failed = |failure| shard.error(failure);
        let mut lease = engine.lease(&shard).await?;
        let watched = read(&lease.ask(&watch).await.map_err(failed)?);
        if !watched.is_ok() {
            return Ok(watched);
        }
        let get = pack(&["GET", key]);
        engine.check_shard(std::slice::from_ref(&get), &shard).await?;
        let got = read(&lease.ask(&get).await.map_err(failed)?);
        let before = match &got {
            Reply::Nil => 0,
            Reply::Bulk(value) => token_of(value).unwrap_or_default(),
            other => return Ok(other.clone()),
        };
        if !Ask::Get(key.to_owned()).fits(&got) {
            self.trace.wrong(|| format!("{key} was read under a watch as {got:?}"));
        }
        sleep(self.dice.millis(0..=10)).await;
        let Ask::Watch(_, token) = ask else { panic!("{ask:?} watches nothing") };
        let set = pack(&["SET", key, &format!("{key}|{token}|{before}|")]);
        engine.check_shard(std::slice::from_ref(&set), &shard).await?;
        lease.send(&[pack(&["MULTI"]), set, pack(&["EXEC"])][..]).await.map_err(failed)?;
        let mut replies = Vec::new();
        for _ in 0..3 {
            replies.push(read(&lease.receive().await.map_err(failed)?));
        }
        lease.give_back();
        Ok(replies.remove(2))
    }

    pub(crate) fn transaction(&self, caller: usize) -> Vec<Ask> {
        let dice = &self.dice;
        let (own, tag) = (dice.percent(40), dice.index(10));
        let (own_key, any) = (register(caller, dice.index(3)), || format!("{{t{tag}}}:{}", dice.index(3)));
        let key = || if own { own_key.clone() } else { any() };
        (0..dice.number(1..=4))
            .map(|_| match dice.number(0..=2) {
                0 => Ask::Get(key()),
                1 => Ask::Set(key(), self.token()),
                _ => Ask::Swap(key(), self.token()),
            })
            .collect()
    }
}

/// Whether what a transaction read is what it wrote before, where it did.
fn saw_itself(asks: &[Ask], replies: &[Reply]) -> bool {
    let mut written = BTreeMap::new();
    asks.len() == replies.len()
        && asks.iter().zip(replies).all(|(ask, reply)| {
            let seen = if let Reply::Bulk(value) = reply { token_of(value) } else { None };
            let before = match ask {
                Ask::Get(key) => written.get(key).copied(),
                Ask::Set(key, token) => {
                    written.insert(key.clone(), *token);
                    return true;
                }
                Ask::Swap(key, token) => written.insert(key.clone(), *token),
                other => panic!("{other:?} is in no transaction here"),
            };
            matches!(reply, Reply::Error(_)) || before.is_none() || before == seen
        })
}

fn read(reply: &rendis_core::reply::Reply) -> Reply {
    match told(reply) {
        Told::Answer(reply) => reply,
        other => panic!("a reply is no {other}"),
    }
}
