//! Why a placement, or its specification, was refused.

use thiserror::Error;

/// A specification that names no placement rendis knows. The message lists what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SpecError {
    /// `like` is not the name of a preset.
    #[error("placement: like = {found:?} is not known; allowed: {}", super::Spec::PRESETS.join(", "))]
    UnknownPreset {
        /// What was given.
        found: String,
    },
    /// The preset has no option of this name.
    #[error("placement: {preset:?} has no option {found:?}; allowed: {allowed}")]
    UnknownOption {
        /// The preset.
        preset: &'static str,
        /// What was given.
        found: String,
        /// The options that the preset has.
        allowed: String,
    },
    /// The option is given twice.
    #[error("placement: option {option:?} is given twice")]
    RepeatedOption {
        /// The option.
        option: String,
    },
    /// The option cannot have this value.
    #[error("placement: {preset:?} cannot have {option} = {found}; allowed: {allowed}")]
    BadValue {
        /// The preset.
        preset: &'static str,
        /// The option.
        option: &'static str,
        /// What was given.
        found: String,
        /// What the option can be.
        allowed: String,
    },
    /// The program does this, but no other program can do the same.
    #[error("placement: {preset:?} with {option} = {found} cannot be reproduced: {reason}")]
    Unreproducible {
        /// The preset.
        preset: &'static str,
        /// The option.
        option: &'static str,
        /// What was given.
        found: String,
        /// Why.
        reason: &'static str,
    },
}

/// A list of shards that cannot be placed as the specification says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// The list is empty.
    #[error("placement: there is no shard; allowed: at least one")]
    NoShards,
    /// The list is longer than the placement can be.
    #[error("placement: {count} shards are too many for {preset:?}; allowed: up to {limit}")]
    TooManyShards {
        /// The preset.
        preset: &'static str,
        /// The length of the list.
        count: usize,
        /// The longest list allowed.
        limit: usize,
    },
    /// Weights and options ask for a ring that would not fit into memory.
    #[error("placement: {preset:?} would need {points} ring points; allowed: up to {limit}")]
    TooManyPoints {
        /// The preset.
        preset: &'static str,
        /// How many it would need.
        points: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The list of live flags has another length than the list of shards.
    #[error("placement: {shards} shards, but {flags} live flags")]
    LiveMismatch {
        /// The number of shards.
        shards: usize,
        /// The number of flags.
        flags: usize,
    },
    /// There is nothing to hash for a shard.
    #[error("placement: shard {shard:?} (number {number}) has an empty identity; give it a name or an id")]
    EmptyIdentity {
        /// The shard's name.
        shard: String,
        /// Its position, counted from 1.
        number: usize,
    },
    /// Two shards would be hashed alike.
    #[error(
        "placement: shards {first:?} and {second:?} have the same identity {identity:?}; give one of them another id"
    )]
    RepeatedIdentity {
        /// The earlier shard's name.
        first: String,
        /// The later shard's name.
        second: String,
        /// What both would be hashed by.
        identity: String,
    },
    /// phpredis writes point names into a buffer of 64 bytes; what it hashes for a longer one is undefined.
    #[error(
        "placement: the identity {identity:?} of shard {shard:?} is too long for phpredis; allowed: {limit} bytes"
    )]
    LongIdentity {
        /// The shard's name.
        shard: String,
        /// Its identity.
        identity: String,
        /// The longest identity allowed.
        limit: usize,
    },
    /// The preset hashes the positions of shards, and so an id would change nothing.
    #[error(
        "placement: shard {shard:?} has an id, but {preset:?} goes by the order of the list; leave it out"
    )]
    IdUnsupported {
        /// The preset.
        preset: &'static str,
        /// The shard's name.
        shard: String,
    },
    /// The preset knows no weights.
    #[error("placement: shard {shard:?} has weight {weight}, but {preset:?} knows no weights; leave it out")]
    WeightUnsupported {
        /// The preset.
        preset: &'static str,
        /// The shard's name.
        shard: String,
        /// The weight given.
        weight: u32,
    },
    /// The preset knows no weight of zero.
    #[error("placement: shard {shard:?} has weight 0; {preset:?} allows 1 and more")]
    WeightZero {
        /// The preset.
        preset: &'static str,
        /// The shard's name.
        shard: String,
    },
    /// The program counts the sum of the weights in 32 bits.
    #[error("placement: the weights add up to {sum}; {preset:?} allows up to {}", u32::MAX)]
    WeightSum {
        /// The preset.
        preset: &'static str,
        /// The sum.
        sum: u64,
    },
    /// Only Jedis tells named shards from others.
    #[error(
        "placement: shard {shard:?} says named = true, which only jedis and jedis-2.9 know, not {preset:?}"
    )]
    NamedUnsupported {
        /// The preset.
        preset: &'static str,
        /// The shard's name.
        shard: String,
    },
}
