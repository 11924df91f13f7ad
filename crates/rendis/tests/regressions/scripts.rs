//! Scripts.

use redis::AsyncCommands;
use rendis_testkit::RedisServer;

use crate::only;

#[tokio::test]
async fn what_a_script_says_of_itself_does_not_make_it_run_again() {
    let server = RedisServer::start();
    let mut ring = only(&server).await;
    for word in ["TRYAGAIN later", "LOADING soon", "NOSCRIPT of mine"] {
        let body = format!("redis.call('INCR', KEYS[1]) return redis.error_reply('{word}')");
        let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(&body).query_async(&mut ring).await.unwrap();
        let eval = redis::cmd("EVAL").arg(&body).arg(1).arg("runs").take();
        let evalsha = redis::cmd("EVALSHA").arg(&sha).arg(1).arg("runs").take();
        for (command, runs) in [(&eval, 1), (&evalsha, 2)] {
            let failed = command.query_async::<()>(&mut ring).await.unwrap_err();
            assert!(failed.to_string().contains(word.split_once(' ').unwrap().1), "{failed}");
            assert_eq!(ring.get::<_, i64>("runs").await.unwrap(), runs, "{word}");
        }
        let mut pipe = redis::pipe();
        pipe.add_command(eval).add_command(evalsha);
        pipe.query_async::<()>(&mut ring).await.unwrap_err();
        assert_eq!(ring.get_del::<_, i64>("runs").await.unwrap(), 4, "{word}, in a pipeline");
    }
}

#[tokio::test]
async fn what_a_script_answers_at_length_or_in_depth_costs_nobody_else_anything() {
    let server = RedisServer::start();
    let mut ring = only(&server).await;
    ring.set::<_, _, ()>("k", 1).await.unwrap();
    let mut bystander = ring.clone();
    let disturbed = tokio::spawn(async move {
        for _ in 0..2000 {
            bystander.incr::<_, _, i64>("k", 1).await?;
        }
        Ok::<_, redis::RedisError>(())
    });
    let nested = "local t = {} for i = 1, tonumber(ARGV[1]) do t = {t} end return t";
    let nested = |depth: u32| redis::cmd("EVAL").arg(nested).arg(1).arg("k").arg(depth).take();
    for _ in 0..20 {
        let long = redis::cmd("EVAL")
            .arg("return redis.status_reply(string.rep('x', 70000))")
            .arg(1)
            .arg("k")
            .take();
        assert_eq!(long.query_async::<String>(&mut ring).await.unwrap().len(), 70_000);
        let error =
            redis::cmd("EVAL").arg("return redis.error_reply(string.rep('x', 70000))").arg(1).arg("k").take();
        assert!(error.query_async::<()>(&mut ring).await.unwrap_err().to_string().len() > 60_000);
        nested(90).query_async::<redis::Value>(&mut ring).await.unwrap();
        // Deeper than the crate redis reads: the caller's own error.
        let deep = nested(900).query_async::<redis::Value>(&mut ring).await.unwrap_err();
        assert!(deep.to_string().contains("nested too deep"), "{deep}");
    }
    disturbed.await.unwrap().unwrap();
    assert_eq!(ring.get::<_, i64>("k").await.unwrap(), 2001);
}
