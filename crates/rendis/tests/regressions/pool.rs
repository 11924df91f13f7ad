//! Connections of a pool.

use std::time::Duration;

use rendis::{Pool, Sent};
use rendis_testkit::{Answer, FakeServer};

use crate::own;

#[tokio::test]
async fn what_was_written_before_a_connection_of_a_pool_broke_may_have_run() {
    // It reads all three, answers the first, and ends at the last.
    let server = FakeServer::start(|request| {
        Answer::handshake(request).unwrap_or_else(|| match &*request.arguments[1] {
            b"a" => Answer::text(":1\r\n"),
            b"b" => Answer::Silence,
            _ => Answer::Close,
        })
    });
    let pool = Pool::builder([server.url()]).build().unwrap();
    let asked = pool.with_index(0, async |conn| {
        for key in ["a", "b", "c"] {
            conn.send(redis::cmd("INCR").arg(key)).await?;
        }
        conn.flush().await?;
        assert_eq!(conn.receive::<i64>().await?, 1);
        for key in ["b", "c"] {
            let error = conn.receive::<i64>().await.unwrap_err();
            assert_eq!(own(&error).sent(), Sent::Maybe, "{key}: {error}");
        }
        // What comes now is not even taken in.
        let error = conn.send(redis::cmd("INCR").arg("d")).await.unwrap_err();
        assert_eq!(own(&error).sent(), Sent::No, "{error}");
        Ok(())
    });
    asked.await.unwrap();
}

#[tokio::test]
async fn after_a_flush_that_failed_what_was_sent_before_may_have_run() {
    let server = FakeServer::start(|request| Answer::handshake(request).unwrap_or(Answer::Stall));
    let builder = Pool::builder([server.url()]).write_timeout(Duration::from_millis(200));
    let pool = builder.build().unwrap();
    let asked = pool.with_index(0, async |conn| {
        conn.send(redis::cmd("INCR").arg("first")).await?;
        conn.send(redis::cmd("SET").arg("big").arg(vec![b'.'; 64 << 20])).await?;
        assert!(conn.flush().await.is_err());
        let error = conn.receive::<i64>().await.unwrap_err();
        assert_eq!(own(&error).sent(), Sent::Maybe, "{error}");
        Ok(())
    });
    asked.await.unwrap();
}
