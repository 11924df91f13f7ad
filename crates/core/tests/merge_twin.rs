//! Merged replies are what the rules say when they are applied to trees of values.

#[path = "twin/strategy.rs"]
mod strategy;
mod twin;

use proptest::collection::vec;
use proptest::prelude::*;
use rendis_core::command::Response;
use rendis_core::merge::{MergeError, merge};
use rendis_core::reply::Reply;

use crate::twin::Value;

/// Makes a list of values.
type List = fn(Vec<Value>) -> Value;
/// Combines two numbers.
type Fold = fn(i64, i64) -> i64;
type Outcome = Result<Reply, MergeError<usize>>;

fn reply(value: &Value) -> Reply {
    Reply::new(value.frame().into())
}

fn merged(rule: Response, parts: &[Value]) -> Outcome {
    merge(rule, parts.iter().map(|part| Ok(reply(part))), &[])
}

/// Lists of one kind, which the first element names.
fn lists() -> impl Strategy<Value = (List, Vec<Vec<Value>>)> {
    let kinds: [List; 2] = [|all| Value::Array(Some(all)), Value::Set];
    (proptest::sample::select(kinds.to_vec()), vec(vec(strategy::value(), 0..5), 1..5))
}

/// An attribute or not before a reply, which must not matter.
fn attributed(value: Value, with: bool) -> Value {
    if with { Value::Attributed(vec![Value::Int(1), Value::Null], Box::new(value)) } else { value }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn elements_go_back_to_where_their_keys_were(
        all in vec((strategy::value(), 0_u32..4), 0..12),
        with: bool,
    ) {
        let parts = (0..4).map(|part| {
            let own = all.iter().filter(|(_, of)| *of == part).map(|(value, _)| value.clone());
            Ok::<_, usize>(reply(&attributed(Value::Array(Some(own.collect())), with)))
        });
        let order: Vec<u32> = all.iter().map(|(_, part)| *part).collect();
        let expected = Value::Array(Some(all.iter().map(|(value, _)| value.clone()).collect()));
        prop_assert_eq!(merge(Response::ByIndex, parts, &order), Ok(reply(&expected)));
    }

    #[test]
    fn lists_are_joined((kind, lists) in lists(), with: bool) {
        let parts: Vec<_> = lists.iter().map(|list| attributed(kind(list.clone()), with)).collect();
        prop_assert_eq!(merged(Response::Concat, &parts), Ok(reply(&kind(lists.concat()))));
        let mut distinct: Vec<Value> = Vec::new();
        for value in lists.concat() {
            if !distinct.iter().any(|other| other.frame() == value.frame()) {
                distinct.push(value);
            }
        }
        prop_assert_eq!(merged(Response::Union, &parts), Ok(reply(&kind(distinct))));
    }

    #[test]
    fn numbers_are_folded(numbers in vec(vec(-2_i64..3, 3), 1..5), alone: bool) {
        let rules: [(Response, Fold); 4] = [
            (Response::Min, i64::min),
            (Response::Max, i64::max),
            (Response::LogicalAnd, |one, other| i64::from(one != 0 && other != 0)),
            (Response::LogicalOr, |one, other| i64::from(one != 0 || other != 0)),
        ];
        let shape = |numbers: &[i64]| match numbers {
            [number, ..] if alone => Value::Int(*number),
            all => Value::Array(Some(all.iter().copied().map(Value::Int).collect())),
        };
        let parts: Vec<_> = numbers.iter().map(|numbers| shape(numbers)).collect();
        for (rule, fold) in rules {
            // Folding with itself first makes one part alone come out as one among others.
            let at = |index: usize| {
                numbers.iter().map(|part| fold(part[index], part[index])).reduce(fold).unwrap_or_default()
            };
            prop_assert_eq!(merged(rule, &parts), Ok(reply(&shape(&[at(0), at(1), at(2)]))));
        }
        if alone {
            let sum = numbers.iter().map(|part| part[0]).sum();
            prop_assert_eq!(merged(Response::Sum, &parts), Ok(Reply::integer(sum)));
        }
    }

    #[test]
    fn numbers_at_one_place_are_added(
        names in vec(0_u8..5, 0..6),
        numbers in vec(vec(-9_i64..9, 6), 1..5),
        map: bool,
    ) {
        let shape = |numbers: &[i64]| {
            let flat = names.iter().zip(numbers).flat_map(|(name, number)| {
                [Value::Bulk(Some(vec![b'a' + name])), Value::Int(*number)]
            });
            if map { Value::Map(flat.collect()) } else { Value::Array(Some(flat.collect())) }
        };
        let sums: Vec<i64> = (0..6).map(|at| numbers.iter().map(|part| part[at]).sum()).collect();
        let replies: Vec<_> = numbers.iter().map(|numbers| shape(numbers)).collect();
        prop_assert_eq!(merged(Response::PairSum, &replies), Ok(reply(&shape(&sums))));
    }

    #[test]
    fn whatever_the_parts_say_a_merge_ends(frames in vec(strategy::noise(), 0..4)) {
        for rule in [
            Response::ByIndex, Response::Sum, Response::AllOk, Response::LogicalAnd, Response::LogicalOr,
            Response::Min, Response::Max, Response::Concat, Response::Union, Response::PairSum,
            Response::OneSucceeded, Response::First, Response::Scan, Response::Random, Response::Running,
        ] {
            let parts = frames.iter().map(|frame| Ok::<_, usize>(Reply::new(frame.clone().into())));
            let _ = merge(rule, parts, &[0, 1, 0]);
        }
    }

    #[test]
    fn the_first_failure_is_the_answer(parts in vec(0_u8..3, 1..6)) {
        let given = parts.iter().enumerate().map(|(index, kind)| match kind {
            0 => Ok(Reply::integer(1)),
            1 => Ok(Reply::error("ERR", &index.to_string())),
            _ => Err(index),
        });
        let expected = match parts.iter().position(|kind| *kind != 0) {
            None => Ok(Reply::integer(i64::try_from(parts.len()).unwrap())),
            Some(index) if parts[index] == 1 => Ok(Reply::error("ERR", &index.to_string())),
            Some(index) => Err(MergeError::Failed(index)),
        };
        prop_assert_eq!(merge(Response::Sum, given, &[]), expected);
    }
}
