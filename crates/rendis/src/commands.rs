//! The commands of nearly every program, without the boxes.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rendis_core::request::RequestBuf;
use rendis_engine::gather::Executed;
use rendis_engine::run::Run;

use crate::error::{Error, Kind};
use crate::ring::Ring;
use crate::typed::{
    self, FromRedisValue, NumericBehavior, RedisResult, ToRedisArgs, ToSingleRedisArg, Words,
    from_redis_value,
};

/// A typed call under way: what a method of [`Commands`] returns.
///
/// Nothing happens before its first poll. Cancel safe as every call of a [`Ring`]: dropped before it was written, it is
/// never sent; dropped later, the server may run it, and its reply reaches nobody.
#[must_use = "a future does nothing until it is awaited"]
pub struct Answer<'a, RV> {
    run: Run<'a, RequestBuf>,
    value: PhantomData<fn() -> RV>,
}

impl<RV: FromRedisValue> Future for Answer<'_, RV> {
    type Output = RedisResult<RV>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let value = match ready!(Pin::new(&mut self.run).poll(context)) {
            Ok(Executed::Reply(reply)) => typed::value(&reply)?,
            // None of these commands is another's than a shard's.
            Ok(_) => return Poll::Ready(Err(Error::local(Kind::Refused, "no command of a shard").into())),
            Err(error) => return Poll::Ready(Err(Error::from(error).into())),
        };
        Poll::Ready(Ok(from_redis_value(value.extract_error()?)?))
    }
}

impl<RV> std::fmt::Debug for Answer<'_, RV> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Answer")
    }
}

fn words(name: &str) -> Words {
    Words::new(name)
}

/// `INCRBY` has a sister for numbers with a fraction.
fn by(delta: &impl ToRedisArgs, whole: &'static str, fraction: &'static str) -> &'static str {
    match delta.describe_numeric_behavior() {
        NumericBehavior::NumberIsFloat => fraction,
        _ => whole,
    }
}

/// Writes each command twice: as the request that it packs, which tests compare with the `redis` crate's, and as the
/// method.
macro_rules! commands {
    ($(
        $(#[$doc:meta])*
        fn $name:ident<$($kind:ident: $bound:ident),*>($($argument:ident: $type:ty),*) = $request:expr;
    )*) => {
        mod requests {
            use super::*;

            /// The names of all of them.
            #[cfg(test)]
            pub(super) const NAMES: &[&str] = &[$(stringify!($name)),*];

            $(
                #[inline]
                pub(super) fn $name<$($kind: $bound),*>($($argument: $type),*) -> RequestBuf {
                    $request.finish()
                }
            )*
        }

        /// The commands that caches, rate limiters and session stores are made of, as `redis::AsyncCommands` has them:
        /// the same names, arguments and results. What differs is the cost: a call packs its command once and needs no
        /// box, where `AsyncCommands` needs two and a [`redis::Cmd`] (a `GET` takes two allocations, not six); and the
        /// name: the ring need not be `mut`, so that one behind a reference or in an `Arc` will do.
        ///
        /// Where both traits are in scope, these methods are taken, and the other trait's for all that is not here; on a
        /// `&mut Ring` the other's. Where `redis::AsyncTypedCommands` is, they are taken too, and the result has to be named.
        ///
        /// ```no_run
        /// # async fn example(ring: &rendis::Ring) -> redis::RedisResult<()> {
        /// use rendis::Commands as _;
        ///
        /// ring.set_ex::<_, _, ()>("session:7", "Ada", 3600).await?;
        /// let name: Option<String> = ring.get("session:7").await?;
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// Of every method: as of any typed call of a [`Ring`], and [`redis::ErrorKind::Parse`] where the reply is no `RV`.
        pub trait Commands: sealed::OnRing {
            $(
                $(#[$doc])*
                #[inline]
                fn $name<$($kind: $bound,)* RV: FromRedisValue>(&self, $($argument: $type),*) -> Answer<'_, RV> {
                    Answer { run: self.ring().run(requests::$name($($argument),*)), value: PhantomData }
                }
            )*
        }
    };
}

mod sealed {
    pub trait OnRing {
        fn ring(&self) -> &super::Ring;
    }
}

impl sealed::OnRing for Ring {
    fn ring(&self) -> &Ring {
        self
    }
}

impl Commands for Ring {}

commands! {
    /// `GET`: the value of a key.
    fn get<K: ToSingleRedisArg>(key: K) = words("GET").arg(&key);
    /// `SET`: a value for a key.
    fn set<K: ToSingleRedisArg, V: ToSingleRedisArg>(key: K, value: V) = words("SET").arg(&key).arg(&value);
    /// `SETEX`: a value for a key, for so many seconds.
    fn set_ex<K: ToSingleRedisArg, V: ToSingleRedisArg>(key: K, value: V, seconds: u64) =
        words("SETEX").arg(&key).arg(&seconds).arg(&value);
    /// `PSETEX`: a value for a key, for so many milliseconds.
    fn pset_ex<K: ToSingleRedisArg, V: ToSingleRedisArg>(key: K, value: V, milliseconds: u64) =
        words("PSETEX").arg(&key).arg(&milliseconds).arg(&value);
    /// `SETNX`: a value for a key that does not exist; whether it was set.
    fn set_nx<K: ToSingleRedisArg, V: ToSingleRedisArg>(key: K, value: V) =
        words("SETNX").arg(&key).arg(&value);
    /// `GETDEL`: the value of a key, which is deleted.
    fn get_del<K: ToSingleRedisArg>(key: K) = words("GETDEL").arg(&key);
    /// `MGET`: the values of keys, on any shards.
    fn mget<K: ToRedisArgs>(key: K) = words("MGET").arg(&key);
    /// `INCRBY`, or `INCRBYFLOAT` for a number with a fraction; the new value.
    fn incr<K: ToSingleRedisArg, V: ToSingleRedisArg>(key: K, delta: V) =
        words(by(&delta, "INCRBY", "INCRBYFLOAT")).arg(&key).arg(&delta);
    /// `DECRBY`; the new value.
    fn decr<K: ToSingleRedisArg, V: ToSingleRedisArg>(key: K, delta: V) =
        words("DECRBY").arg(&key).arg(&delta);
    /// `APPEND` to the value of a key; its length.
    fn append<K: ToSingleRedisArg, V: ToSingleRedisArg>(key: K, value: V) =
        words("APPEND").arg(&key).arg(&value);
    /// `DEL`: deletes keys, on any shards; how many there were.
    fn del<K: ToRedisArgs>(key: K) = words("DEL").arg(&key);
    /// `UNLINK`: deletes keys, on any shards, and frees their memory later; how many there were.
    fn unlink<K: ToRedisArgs>(key: K) = words("UNLINK").arg(&key);
    /// `EXISTS`: how many of these keys exist, on any shards.
    fn exists<K: ToRedisArgs>(key: K) = words("EXISTS").arg(&key);
    /// `EXPIRE`: a key lives so many seconds more; whether it exists.
    fn expire<K: ToSingleRedisArg>(key: K, seconds: i64) = words("EXPIRE").arg(&key).arg(&seconds);
    /// `PEXPIRE`: a key lives so many milliseconds more; whether it exists.
    fn pexpire<K: ToSingleRedisArg>(key: K, ms: i64) = words("PEXPIRE").arg(&key).arg(&ms);
    /// `PERSIST`: a key expires no more; whether it would have.
    fn persist<K: ToSingleRedisArg>(key: K) = words("PERSIST").arg(&key);
    /// `TTL`: the seconds that a key has left; -1 where it does not expire, -2 where it does not exist.
    fn ttl<K: ToSingleRedisArg>(key: K) = words("TTL").arg(&key);
    /// `PTTL`: the milliseconds that a key has left; -1 where it does not expire, -2 where it does not exist.
    fn pttl<K: ToSingleRedisArg>(key: K) = words("PTTL").arg(&key);
    /// `HGET`: the value of a field of a hash.
    fn hget<K: ToSingleRedisArg, F: ToSingleRedisArg>(key: K, field: F) = words("HGET").arg(&key).arg(&field);
    /// `HMGET`: the values of fields of a hash.
    fn hmget<K: ToSingleRedisArg, F: ToRedisArgs>(key: K, fields: F) = words("HMGET").arg(&key).arg(&fields);
    /// `HGETALL`: a hash.
    fn hgetall<K: ToSingleRedisArg>(key: K) = words("HGETALL").arg(&key);
    /// `HSET`: a value for a field of a hash; how many fields are new.
    fn hset<K: ToSingleRedisArg, F: ToSingleRedisArg, V: ToSingleRedisArg>(key: K, field: F, value: V) =
        words("HSET").arg(&key).arg(&field).arg(&value);
    /// `HMSET`: values for fields of a hash.
    fn hset_multiple<K: ToSingleRedisArg, F: ToRedisArgs, V: ToRedisArgs>(key: K, items: &[(F, V)]) =
        words("HMSET").arg(&key).arg(&items);
    /// `HDEL`: deletes fields of a hash; how many there were.
    fn hdel<K: ToSingleRedisArg, F: ToRedisArgs>(key: K, field: F) = words("HDEL").arg(&key).arg(&field);
    /// `HEXISTS`: whether a hash has a field.
    fn hexists<K: ToSingleRedisArg, F: ToSingleRedisArg>(key: K, field: F) =
        words("HEXISTS").arg(&key).arg(&field);
    /// `HINCRBY`, or `HINCRBYFLOAT` for a number with a fraction; the new value.
    fn hincr<K: ToSingleRedisArg, F: ToSingleRedisArg, D: ToSingleRedisArg>(key: K, field: F, delta: D) =
        words(by(&delta, "HINCRBY", "HINCRBYFLOAT")).arg(&key).arg(&field).arg(&delta);
    /// `LPUSH` at the head of a list; its length.
    fn lpush<K: ToSingleRedisArg, V: ToRedisArgs>(key: K, value: V) = words("LPUSH").arg(&key).arg(&value);
    /// `RPUSH` at the tail of a list; its length.
    fn rpush<K: ToSingleRedisArg, V: ToRedisArgs>(key: K, value: V) = words("RPUSH").arg(&key).arg(&value);
    /// `LPOP` from the head of a list: one element, or as many as `count`.
    fn lpop<K: ToSingleRedisArg>(key: K, count: Option<std::num::NonZeroUsize>) =
        words("LPOP").arg(&key).arg(&count);
    /// `RPOP` from the tail of a list: one element, or as many as `count`.
    fn rpop<K: ToSingleRedisArg>(key: K, count: Option<std::num::NonZeroUsize>) =
        words("RPOP").arg(&key).arg(&count);
    /// `LLEN`: the length of a list.
    fn llen<K: ToSingleRedisArg>(key: K) = words("LLEN").arg(&key);
    /// `LRANGE`: elements of a list, from one place to another, that one too; -1 is the last.
    fn lrange<K: ToSingleRedisArg>(key: K, start: isize, stop: isize) =
        words("LRANGE").arg(&key).arg(&start).arg(&stop);
    /// `SADD`: members for a set; how many are new.
    fn sadd<K: ToSingleRedisArg, M: ToRedisArgs>(key: K, member: M) = words("SADD").arg(&key).arg(&member);
    /// `SREM`: takes members out of a set; how many there were.
    fn srem<K: ToSingleRedisArg, M: ToRedisArgs>(key: K, member: M) = words("SREM").arg(&key).arg(&member);
    /// `SISMEMBER`: whether a set has a member.
    fn sismember<K: ToSingleRedisArg, M: ToSingleRedisArg>(key: K, member: M) =
        words("SISMEMBER").arg(&key).arg(&member);
    /// `SMEMBERS`: a set.
    fn smembers<K: ToSingleRedisArg>(key: K) = words("SMEMBERS").arg(&key);
    /// `SCARD`: the size of a set.
    fn scard<K: ToSingleRedisArg>(key: K) = words("SCARD").arg(&key);
    /// `ZADD`: a score for a member of a sorted set; how many are new.
    fn zadd<K: ToSingleRedisArg, S: ToSingleRedisArg, M: ToSingleRedisArg>(key: K, member: M, score: S) =
        words("ZADD").arg(&key).arg(&score).arg(&member);
    /// `ZINCRBY`: adds to the score of a member of a sorted set; the new score.
    fn zincr<K: ToSingleRedisArg, M: ToSingleRedisArg, D: ToSingleRedisArg>(key: K, member: M, delta: D) =
        words("ZINCRBY").arg(&key).arg(&delta).arg(&member);
    /// `ZREM`: takes members out of a sorted set; how many there were.
    fn zrem<K: ToSingleRedisArg, M: ToRedisArgs>(key: K, members: M) = words("ZREM").arg(&key).arg(&members);
    /// `ZSCORE`: the score of a member of a sorted set.
    fn zscore<K: ToSingleRedisArg, M: ToSingleRedisArg>(key: K, member: M) =
        words("ZSCORE").arg(&key).arg(&member);
    /// `ZCARD`: the size of a sorted set.
    fn zcard<K: ToSingleRedisArg>(key: K) = words("ZCARD").arg(&key);
    /// `ZRANGE`: members of a sorted set by their rank, from one to another, that one too; -1 is the last.
    fn zrange<K: ToSingleRedisArg>(key: K, start: isize, stop: isize) =
        words("ZRANGE").arg(&key).arg(&start).arg(&stop);
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::typed::Cmd;

    /// The name of a method, the request that is packed here, and the one that the `redis` crate packs for the method of
    /// the same name.
    macro_rules! same {
        ($($name:ident($($argument:expr),*)),* $(,)?) => {
            [$((
                stringify!($name),
                requests::$name($($argument),*).into_bytes(),
                Cmd::$name($($argument),*).get_packed_command(),
            )),*]
        };
    }

    #[test]
    fn every_command_is_packed_as_the_redis_crate_packs_it() {
        let some = NonZeroUsize::new(3);
        let pairs = [("a", 1), ("b", 2)];
        let many: Vec<String> = (0..20).map(|key| format!("key{key}")).collect();
        let packed = same![
            get("k"),
            set("k", vec![0_u8, 255]),
            set_ex("k", 1.5, 7),
            pset_ex(b"k", true, 7),
            set_nx("k", "v"),
            get_del("k"),
            mget(&many),
            mget("one"),
            incr("k", 2),
            incr("k", 0.5),
            decr("k", 2),
            append("k", "more"),
            del(&many),
            unlink(&["a", "b"]),
            exists("k"),
            expire("k", -1),
            pexpire("k", 1500),
            persist("k"),
            ttl("k"),
            pttl("k"),
            hget("k", "f"),
            hmget("k", &["f", "g"]),
            hgetall("k"),
            hset("k", "f", 3),
            hset_multiple("k", &pairs),
            hdel("k", &["f", "g"]),
            hexists("k", "f"),
            hincr("k", "f", 2),
            hincr("k", "f", 2.5),
            lpush("k", &["a", "b"]),
            rpush("k", "a"),
            lpop("k", some),
            rpop("k", None),
            llen("k"),
            lrange("k", 0, -1),
            sadd("k", &many),
            srem("k", "m"),
            sismember("k", "m"),
            smembers("k"),
            scard("k"),
            zadd("k", "m", 1.5),
            zincr("k", "m", -1),
            zrem("k", &["m", "n"]),
            zscore("k", "m"),
            zcard("k"),
            zrange("k", 0, -1),
        ];
        for (name, own, theirs) in &packed {
            assert_eq!(own.escape_ascii().to_string(), theirs.escape_ascii().to_string(), "{name}");
        }
        let compared = |command: &str| packed.iter().any(|(name, ..)| *name == command);
        let missing: Vec<_> = requests::NAMES.iter().filter(|command| !compared(command)).collect();
        assert!(missing.is_empty(), "not compared: {missing:?}");
    }
}
