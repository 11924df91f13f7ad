//! What a builder takes, and where it arrives.

use std::time::Duration;

use futures_util::FutureExt as _;
use redis::AsyncCommands;
use rendis::{Kind, Pool, Secret};
use rendis_testkit::RedisServer;

use crate::own;

#[tokio::test]
async fn settings_of_an_instance_reach_its_connections() {
    let server = RedisServer::builder().user("app", "on >secret ~* +@all").start();
    let pool = Pool::builder([format!("redis://{}/3", server.address())])
        .client_name("pooled")
        .each_instance(|position, settings| {
            assert_eq!(position, 0);
            settings.username = Some("app".to_owned());
            settings.password = Some(Secret::new("secret"));
        })
        .build()
        .unwrap();
    let (who, info): (String, String) = pool
        .with("k", async |conn| {
            conn.set::<_, _, ()>("k", 1).await?;
            redis::pipe().cmd("ACL").arg("WHOAMI").cmd("CLIENT").arg("INFO").query_async(conn).await
        })
        .await
        .unwrap();
    assert_eq!(who, "app");
    assert!(info.contains("db=3") && info.contains("name=pooled"), "{info}");
    let unix = RedisServer::builder().unix().start();
    let pool = Pool::builder([unix.url()]).build().unwrap();
    pool.with("k", async |conn| conn.set::<_, _, ()>("k", 1).await).await.unwrap();
    assert!(pool.id(0).unwrap().ends_with(&unix.socket().display().to_string()));
}

#[test]
fn building_needs_no_runtime_and_tells_what_is_wrong() {
    let millisecond = Duration::from_millis(1);
    let one = || Pool::builder(["127.0.0.1:1"]);
    for (builder, words) in [
        (Pool::builder::<&str>([]), "at least one address"),
        (Pool::builder(["127.0.0.1:1", "a:b:c"]), "address 2"),
        (Pool::builder(["http://127.0.0.1"]), "scheme"),
        (Pool::builder(["127.0.0.1:0"]), "address 1"),
        (one().max_connections_per_instance(0), "max_connections_per_instance"),
        (one().max_connections_per_instance(usize::MAX), "max_connections_per_instance"),
        (one().connect_timeout(Duration::ZERO), "connect_timeout"),
        (one().read_timeout(Duration::ZERO), "read_timeout"),
        (one().write_timeout(Duration::ZERO), "write_timeout"),
        (one().each_instance(|_, settings| settings.weight = Some(2)), "weight"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
    let error = Pool::builder(["redis://user:hunter2@host/x"]).build().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    let pool = Pool::builder(["redis://user:hunter2@host:1/2"]).read_timeout(millisecond);
    assert!(!format!("{pool:?}").contains("hunter2"), "{pool:?}");
    let pool = pool.build().unwrap();
    assert_eq!(format!("{pool:?}"), "Pool[\"host:1\"]");
    // Nor does a call without a runtime panic.
    let error = own(pool.with("k", async |_| Ok(())).now_or_never().unwrap());
    assert_eq!(error.kind(), Kind::Config);
    // The same server twice is two instances.
    assert_eq!(Pool::builder(["127.0.0.1:1", "127.0.0.1:1"]).build().unwrap().size(), 2);
}
