//! The edge to the `redis` crate: its commands in, its values out. The only room that names it.

#[cfg(feature = "blocking")]
pub(crate) mod blocking;
mod cmd;
mod errors;
mod value;
mod words;

pub(crate) use self::cmd::{Packed, packed_requests};
pub(crate) use self::errors::error_value;
pub(crate) use self::value::{pipeline_values, value};
pub(crate) use self::words::Words;
pub(crate) use redis::{
    Cmd, FromRedisValue, NumericBehavior, Pipeline, RedisError, RedisFuture, RedisResult, ToRedisArgs,
    ToSingleRedisArg, Value, aio, cmd, from_redis_value,
};
