//! Which instance a key is on.

use redis::AsyncCommands;
use rendis::{Kind, Pool, Sent, hash};
use rendis_testkit::Cluster;

use crate::own;

#[tokio::test]
async fn every_key_is_on_the_instance_of_its_index() {
    let cluster = Cluster::start(3);
    let pool = Pool::builder(cluster.urls()).build().unwrap();
    assert_eq!(pool.size(), 3);
    for number in 0..100 {
        let key = format!("key{number}");
        pool.with(&key, async |conn| conn.set::<_, _, ()>(&key, number).await).await.unwrap();
        let index = pool.index(&key);
        assert_eq!(index, usize::try_from(hash::murmur3(key.as_bytes()) % 3).unwrap());
        assert_eq!(cluster[index].command(&["GET", &key]).text(), number.to_string());
        assert_eq!(pool.id(index).unwrap(), cluster[index].address().to_string());
    }
    assert_eq!(cluster.sizes().iter().sum::<i64>(), 100);
}

#[test]
fn indices_are_those_of_roshi() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/vectors/roshi.json");
    let vectors: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let keys: Vec<Vec<u8>> =
        vectors["keys_hex"].as_array().unwrap().iter().map(|key| hex(key.as_str().unwrap())).collect();
    let mut checked = 0;
    for config in vectors["configs"].as_array().unwrap() {
        let size = usize::try_from(config["n"].as_u64().unwrap()).unwrap();
        let builder = Pool::builder((0..size).map(|at| format!("10.0.0.1:{}", 7000 + at)));
        let pool = match config["hash"].as_str().unwrap() {
            "murmur3" => builder.build(),
            "fnv" => builder.hash(hash::fnv1).build(),
            "fnva" => builder.hash(hash::fnv1a).build(),
            other => panic!("unknown hash {other}"),
        }
        .unwrap();
        for (key, index) in keys.iter().zip(config["placement"].as_array().unwrap()) {
            assert_eq!(
                u64::try_from(pool.index(key)).unwrap(),
                index.as_u64().unwrap(),
                "{} {key:?}",
                config["id"]
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 14 * 161);
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[tokio::test]
async fn an_index_that_is_not_there_is_an_error() {
    let pool = Pool::builder(["127.0.0.1:1", "127.0.0.1:2"]).build().unwrap();
    assert_eq!(pool.id(0).unwrap(), "127.0.0.1:1");
    for index in [2, usize::MAX] {
        let error = pool.id(index).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains("the pool has 2"), "{error}");
        let error = own(pool.with_index(index, async |_| Ok(())).await);
        assert_eq!((error.kind(), error.sent()), (Kind::Config, Sent::No));
    }
}
