//! Each mistake is refused in one line that says where it stands, what was found and what is allowed; each ring, shard
//! and user tells of its own.

use crate::{parse, refused, ring, shard};

/// One mistake in a ring's table, on line 3.
#[test]
fn each_mistake_in_a_ring_names_line_field_found_and_allowed() {
    for (fields, expected) in [
        (
            "lisen = \"x\"",
            "unknown field \"lisen\"; did you mean \"listen\"? allowed: name, listen, tls, placement, on_down",
        ),
        (
            "watch = true",
            "unknown field \"watch\", which belongs at the top of the file, before the first [table]; allowed: name",
        ),
        ("weight = 2", "unknown field \"weight\", which belongs in [[ring.shard]]; allowed: name"),
        (
            "reply = \"2s\"",
            "unknown field \"reply\", which belongs in deadlines = { … } of [[ring]]; allowed",
        ),
        (
            "password = \"hunter2\"",
            "which belongs in [[ring.user]] for clients, and in the url of a [[ring.shard]]; allowed",
        ),
        (
            "retries = { atempts = 1 }",
            "retries: unknown field \"atempts\"; did you mean \"attempts\"? allowed: att",
        ),
        ("listen = \"localhost:1\"", "listen: found \"localhost:1\"; allowed: an IP address with a port"),
        ("listen = \"127.0.0.1\"", "listen: found \"127.0.0.1\"; allowed: an IP"),
        ("listen = \"unix:relative\"", "listen: found \"unix:relative\"; allowed: an IP"),
        ("listen = 6380", "listen: found a whole number; allowed: a string or a list of strings"),
        ("listen = []", "listen: found a list that is empty"),
        ("listen = [\"127.0.0.1:1\", 5]", "listen: found a list that is empty or not of strings"),
        (
            "listen = [\"127.0.0.1:1\", \"0.0.0.0:1\"]\nno_auth = true",
            "found \"0.0.0.0:1\", but ring \"cache\" listens on \"127.0.0.1:1\"",
        ),
        (
            "placement = \"twemproxy\"",
            "placement: found a string; allowed: a table, as in { like = \"twemproxy\" }",
        ),
        (
            "placement = \"nutcracker\"",
            "placement: found a string; allowed: a table, as in { like = \"go-redis\" }",
        ),
        ("placement = 1", "placement: found a whole number; allowed: a table"),
        ("placement = { }", "placement: the field like is missing"),
        ("placement = { like = 1 }", "placement: like is not a string; allowed: go-redis, "),
        (
            "placement = { like = \"nope\" }",
            "placement: like = \"nope\" is not known; allowed: go-redis, go-redis-v7",
        ),
        ("placement = { like = \"jump\", x = 1 }", "\"jump\" has no option \"x\"; allowed: none"),
        (
            "placement = { like = \"jedis\", hash = 1.5 }",
            "placement: hash: found 1.5; allowed: a string, a whole",
        ),
        (
            "placement = { like = \"jedis\", hash = \"x\" }",
            "cannot have hash = \"x\"; allowed: \"murmur\", \"md5\"",
        ),
        ("placement = { like = \"twemproxy\", distribution = \"random\" }", "cannot be reproduced: it sends"),
        ("on_down = \"retry\"", "on_down: found \"retry\"; allowed: \"reroute\", \"fail\", \"miss\""),
        ("on_lost = \"drop\"", "on_lost: found \"drop\"; allowed: \"error\", \"close\""),
        ("on_return = 5", "on_return: found 5; allowed: \"forget\", \"keep\", \"flush\""),
        (
            "max_ejected = 2",
            "max_ejected: found 2; allowed: a whole number from 0 to 1, because the last shard is never taken out",
        ),
        ("max_ejected = -1", "max_ejected: found -1; allowed"),
        ("heartbeat_frequency = \"1\"", "found \"1\"; allowed: a duration from \"10ms\" to \"1h\", such as"),
        ("heartbeat_frequency = 500", "found 500; allowed: a duration"),
        ("heartbeat_frequency = \"1ms\"", "found \"1ms\"; allowed: a duration"),
        ("heartbeat_timeout = \"2h\"", "found \"2h\"; allowed: a duration"),
        ("fall = 0", "fall: found 0; allowed: a whole number from 1 to 1000"),
        ("rise = \"two\"", "rise: found \"two\"; allowed: a whole number"),
        ("rise = 99999999999999999999", "rise: found 99999999999999999999; allowed: a whole number"),
        ("probe = \"PING\"", "probe: found a string; allowed: a list of strings"),
        (
            "probe = [\"BLPOP\", \"x\", \"1\"]",
            "probe: found \"BLPOP x 1\", which waits on the server; allowed",
        ),
        ("probe = [\"xread\", \"block\", \"0\", \"streams\", \"s\", \"$\"]", "which waits on the server"),
        (
            "probe = [\"SUBSCRIBE\", \"x\"]",
            "probe: found \"SUBSCRIBE x\", which subscribes; allowed: a command",
        ),
        ("probe = [\"MONITOR\"]", "found \"MONITOR\", which changes the connection for the probes after it"),
        ("probe = [\"multi\"]", "found \"multi\", which changes the connection"),
        ("probe = [\"CLIENT\", \"REPLY\", \"OFF\"]", "which changes the connection"),
        ("probe = [\"SELECT\", \"3\"]", "which changes the connection"),
        ("probe = [\"flushall\"]", "found \"flushall\", which changes more than a key"),
        ("probe = [\"FUNCTION\", \"FLUSH\"]", "which changes more than a key"),
        ("probe = [\"SHUTDOWN\"]", "found \"SHUTDOWN\", which is for administrators"),
        ("probe = [\"CLIENT\", \"PAUSE\", \"10000\"]", "which is for administrators"),
        ("probe = [\"DEBUG\", \"SEGFAULT\"]", "which is for administrators"),
        ("probe = [\"CLIENT\", \"NONSENSE\"]", "which no server knows"),
        ("probe = [\"GET\"]", "probe: found \"GET\", which servers refuse with so many words; allowed"),
        (
            "slow_ejection = {}\non_down = \"fail\"",
            "slow_ejection: no shard is ever taken out; allowed: with on_down",
        ),
        ("slow_ejection = {}\non_down = \"miss\"", "slow_ejection: no shard is ever taken out"),
        ("slow_ejection = {}\nmax_ejected = 0", "slow_ejection: no shard is ever taken out"),
        ("slow_ejection = true", "slow_ejection: found true; allowed: a table"),
        ("deadlines = { connect = \"0s\" }", "deadlines: connect: found \"0s\"; allowed: a duration"),
        (
            "deadlines = { dial = \"1s\" }",
            "deadlines: unknown field \"dial\"; allowed: connect, reply, write, wait",
        ),
        ("deadlines = 1", "deadlines: found a whole number; allowed: a table"),
        ("retries = { attempts = 0 }", "retries: attempts: found 0; allowed: a whole number from 1"),
        ("retries = { first = \"2s\" }", "first is \"2s\"; allowed: up to longest, \"1s\""),
        ("retries = { idempotent_writes = 1 }", "idempotent_writes: found 1; allowed: true, false"),
        ("queue = { bytes = \"64X\" }", "queue: bytes: found \"64X\"; allowed: a number of bytes from 1024"),
        ("queue = { bytes = 5 }", "queue: bytes: found 5; allowed"),
        (
            "client_memory = \"63MiB\"",
            "found \"63MiB\"; allowed: a number of bytes from 67108864, or a string such as \"64MiB\", \"1GiB\"",
        ),
        ("max_clients = 0", "max_clients: found 0; allowed"),
        ("allow = [1]", "allow: found a list that is empty or not of strings"),
        (
            "allow = [\"SAVE\", \"bad;\\u001bname\"]",
            "allow: found \"bad;\\u{1b}name\", which is no command that is known; allowed: commands that administer",
        ),
        (
            "allow = [\"SELECT\"]",
            "allow: found \"SELECT\", which is never let through: a ring has one database",
        ),
        ("allow = [\"GET\"]", "allow: found \"GET\", which nobody refuses; allowed"),
        (
            "allow = [\"monitor\"]",
            "allow: found \"monitor\", which is never let through: it would take over a connection that many share; allowed",
        ),
    ] {
        let message = refused(&ring(fields));
        assert!(message.starts_with("f.toml:3: ring \"cache\": "), "{fields}: {message}");
        assert!(message.contains(expected), "{fields}: {message}");
    }
    for probe in [
        "\"SET\", \"x\", \"1\"",
        "\"INFO\", \"replication\"",
        "\"json.get\", \"x\"",
        "\"XREAD\", \"STREAMS\", \"s\", \"0\"",
    ] {
        parse(&ring(&format!("probe = [{probe}]"))).unwrap();
    }
}

/// Linux has room for 107 bytes and a NUL.
#[test]
fn paths_that_are_too_long_for_sockets_are_refused_where_they_stand() {
    let path = |bytes: usize| format!("/{}", "s".repeat(bytes - 1));
    parse(&ring(&format!("listen = \"unix:{}\"", path(107)))).unwrap();
    let message = refused(&ring(&format!("listen = [\"127.0.0.1:1\", \"unix:{}\"]", path(108))));
    assert!(message.starts_with("f.toml:3: ring \"cache\": listen: found the path \"/ssss"), "{message}");
    assert!(message.contains("of 108 bytes, which cannot be a socket: "), "{message}");
    let shard = |bytes: usize| ring("").replace("redis://b:7001", &format!("unix://{}", path(bytes)));
    parse(&shard(107)).unwrap();
    let message = refused(&shard(200));
    assert!(message.starts_with("f.toml:10: ring \"cache\": shard \"b\": url: found the path"), "{message}");
}

#[test]
fn each_ring_shard_and_user_tells_what_is_wrong_with_it_in_the_order_of_the_file() {
    let user = "[[ring.user]]\nname = \"u\"\nrules = \"+@raed\"\n";
    let first =
        format!("[[ring]]\nname = \"r\"\n{user}{}{}", shard("a", "weihgt = 1"), shard("b", "named = 1"));
    let second = format!("[[ring]]\nname = \"s\"\nlisten = \"127.0.0.1:2\"\nfall = 0\n{}", shard("a", ""));
    let third =
        format!("[[ring]]\nname = \"t\"\nlisten = \"127.0.0.1:1\"\n{}", shard("a", "") + &shard("a", ""));
    let error = parse(&(first + &second + &third)).unwrap_err();
    let all: Vec<_> = error.all().iter().map(ToString::to_string).collect();
    let expected = [
        "f.toml:5: ring \"r\": user \"u\": rules: ",
        "f.toml:9: ring \"r\": shard \"a\": unknown field \"weihgt\"",
        "f.toml:13: ring \"r\": shard \"b\": named: ",
        "f.toml:17: ring \"s\": fall: ",
        "f.toml:30: ring \"t\": name: found \"a\" for two shards",
    ];
    assert_eq!(all.len(), expected.len(), "{all:#?}");
    for (message, expected) in all.iter().zip(expected) {
        assert!(message.starts_with(expected), "{message}\nis not\n{expected}");
    }
}

#[test]
fn all_mistakes_in_a_ring_are_told_and_not_what_follows_from_them() {
    let told = |text: &str| -> Vec<String> {
        parse(text).unwrap_err().all().iter().map(ToString::to_string).collect()
    };
    let is = |text: &str, expected: &[&str]| {
        let all = told(text);
        assert_eq!(all.len(), expected.len(), "{all:#?}");
        for (message, expected) in all.iter().zip(expected) {
            assert!(message.starts_with(expected), "{message}\nis not\n{expected}");
        }
    };
    let fields = "on_down = \"no\"\nfall = 0\nrise = 0\nplacement = { like = \"x\" }\nmax_ejected = 9\n\
                  slow_ejection = { factor = 0 }\nallow = [\"GET\"]\nqueue = { bytes = 1 }";
    is(
        &format!("threads = 0\nlog = \"loud\"\n{}", ring(fields)),
        &[
            "f.toml:1: threads: ",
            "f.toml:2: log: ",
            "f.toml:5: ring \"cache\": on_down: ",
            "f.toml:6: ring \"cache\": fall: ",
            "f.toml:7: ring \"cache\": rise: ",
            "f.toml:8: ring \"cache\": placement: ",
            "f.toml:9: ring \"cache\": max_ejected: ",
            "f.toml:10: ring \"cache\": slow_ejection: factor: ",
            "f.toml:11: ring \"cache\": allow: ",
            "f.toml:12: ring \"cache\": queue: bytes: ",
        ],
    );
    let tables = "listen = [\"127.0.0.1\", \"127.0.0.1:1\", \"unix:\"]\ndeadlines = { connect = 1, reply = \"x\", wait = \"1s\" }\n\
                  retries = { first = \"9s\", attempts = 0, longest = \"1s\" }\nqueue = { requests = 0, bytes = 1 }\n\
                  slow_ejection = { factor = 0, rset = \"1s\", florr = \"1s\" }\nallow = [\"GET\", \"SAVE\", \"NOSUCH\"]";
    is(
        &ring(tables),
        &[
            "f.toml:3: ring \"cache\": listen: found \"127.0.0.1\"",
            "f.toml:3: ring \"cache\": listen: found \"unix:\"",
            "f.toml:4: ring \"cache\": deadlines: connect: ",
            "f.toml:4: ring \"cache\": deadlines: reply: ",
            "f.toml:5: ring \"cache\": retries: first is \"9s\"",
            "f.toml:5: ring \"cache\": retries: attempts: ",
            "f.toml:6: ring \"cache\": queue: requests: ",
            "f.toml:6: ring \"cache\": queue: bytes: ",
            "f.toml:7: ring \"cache\": slow_ejection: unknown field \"rset\"",
            "f.toml:7: ring \"cache\": slow_ejection: unknown field \"florr\"",
            "f.toml:8: ring \"cache\": allow: found \"GET\"",
            "f.toml:8: ring \"cache\": allow: found \"NOSUCH\"",
        ],
    );
    // A misspelt field can be why another seems to be missing.
    let misspelt = "[[ring]]\nnam = \"r\"\nlistne = \"0.0.0.0:1\"\nfall = 0\n[[ring.shrad]]\nname = \"a\"\n";
    is(
        misspelt,
        &[
            "f.toml:2: ring 1: unknown field \"nam\"",
            "f.toml:3: ring 1: unknown field \"listne\"",
            "f.toml:5: ring 1: unknown field \"shrad\"",
        ],
    );
    is("[[rign]]\nname = \"r\"\n", &["f.toml:1: unknown field \"rign\""]);
    // So can one behind the head of another table.
    let misplaced =
        "[[ring]]\nname = \"r\"\nlisten = \"0.0.0.0:1\"\n".to_owned() + &shard("a", "no_auth = true");
    is(&misplaced, &["f.toml:7: ring \"r\": shard \"a\": unknown field \"no_auth\""]);
    let two: String = ["r", "s"]
        .map(|name| format!("[[ring]]\nname = \"{name}\"\n{}", shard("a", "listen = \"127.0.0.1:1\"")))
        .concat();
    is(
        &two,
        &[
            "f.toml:6: ring \"r\": shard \"a\": unknown field \"listen\"",
            "f.toml:12: ring \"s\": shard \"a\": unknown field \"listen\"",
        ],
    );
    let users = "[[ring]]\nname = \"r\"\nlisten = \"0.0.0.0\"\nwat = 1\n[[ring.user]]\nname = \"\"\n";
    let users = users.to_owned() + "[[ring.shard]]\nname = \"\"\n";
    is(
        &users,
        &[
            "f.toml:4: ring \"r\": unknown field \"wat\"",
            "f.toml:5: ring \"r\": user \"\": it has no password",
            "f.toml:6: ring \"r\": user \"\": name: ",
            "f.toml:7: ring \"r\": shard \"\": the field url is missing",
            "f.toml:8: ring \"r\": shard \"\": name: ",
        ],
    );
    let parts = "[[ring.user]]\nname = \"a b\"\nrules = \"+@nosuch\"\npassword = [\"\", \"x\"]\npassword_sha256 = \"x\"\n\
                 [[ring.shard]]\nname = \"s\"\nurl = \"redis://:pw@h\"\npassword_file = \"/f\"\ntls = {}\nweight = -1\n\
                 [[ring.shard]]\nname = \"t\"\nurl = \"h\"\npassword_file = 1\ntls = 1\nid = \"\"\nnamed = 1\n";
    is(
        &format!("[[ring]]\nname = \"r\"\n{parts}"),
        &[
            "f.toml:4: ring \"r\": user \"a b\": name: ",
            "f.toml:5: ring \"r\": user \"a b\": rules: ",
            "f.toml:6: ring \"r\": user \"a b\": password: found an empty",
            "f.toml:7: ring \"r\": user \"a b\": password_sha256: ",
            "f.toml:11: ring \"r\": shard \"s\": password_file: the url has",
            "f.toml:12: ring \"r\": shard \"s\": tls: the url is without",
            "f.toml:13: ring \"r\": shard \"s\": weight: ",
            "f.toml:16: ring \"r\": shard \"t\": url: ",
            "f.toml:17: ring \"r\": shard \"t\": password_file: ",
            "f.toml:18: ring \"r\": shard \"t\": tls: ",
            "f.toml:19: ring \"r\": shard \"t\": id: ",
            "f.toml:20: ring \"r\": shard \"t\": named: ",
        ],
    );
}

#[test]
fn an_error_is_one_line_whatever_the_file_says() {
    let text = ring("listen = \"unix:/a\\nb\"");
    let two = text.clone() + &text.replace("\"cache\"", "\"other\"");
    let message = parse(&two).unwrap_err().to_string();
    let expected = r#"f.toml:3: ring "cache": listen: found "unix:/a\nb"; allowed: an IP address"#;
    assert!(message.starts_with(expected), "{message}");
    let message = refused(&ring("placement = { like = \"go-redis\", \"a\\nb\" = 1.5 }"));
    let expected = r#"f.toml:3: ring "cache": placement: a\nb: found 1.5; allowed: a string, a whole"#;
    assert!(message.starts_with(expected), "{message}");
}

/// One mistake in the second shard's table, whose first line is 7.
#[test]
fn each_mistake_in_a_shard_names_line_field_found_and_allowed() {
    let two = |second: &str| {
        format!("# in the middle\n[[ring]]\nname = \"cache\"\n{}\n{second}", shard("a", "").trim_end())
    };
    let name = "name = \"b\"\n";
    for (fields, line, expected) in [
        ("url = \"redis://b\"".to_owned(), 7, "shard 2: the field name is missing"),
        (
            "name = \"\"\nurl = \"redis://b\"".to_owned(),
            8,
            "shard \"\": name: found \"\"; allowed: a string that",
        ),
        ("name = \"a\\u0009\"\nurl = \"redis://b\"".to_owned(), 8, "allowed: a string that is not empty"),
        (
            "name = 5\nurl = \"redis://b\"".to_owned(),
            8,
            "shard 2: name: found a whole number; allowed: a string",
        ),
        (
            "name = \"a\"\nurl = \"redis://b\"".to_owned(),
            8,
            "name: found \"a\" for two shards; allowed: each",
        ),
        (name.to_owned(), 7, "shard \"b\": the field url is missing"),
        (
            format!("{name}ulr = \"redis://b\""),
            9,
            "unknown field \"ulr\"; did you mean \"url\"? allowed: name, url",
        ),
        (format!("{name}password = \"hunter2\""), 9, "\"password\", which stands in url, as in \"redis://:"),
        (format!("{name}drain = \"1s\""), 9, "\"drain\", which belongs in [[ring]]; allowed: name"),
        (format!("{name}listen = \"x\""), 9, "which belongs in [admin] or in [[ring]]; allowed: name"),
        (format!("{name}url = \"127.0.0.1:7001\""), 9, "it does not begin with redis://; allowed: redis://"),
        (format!("{name}url = [\"redis://:hunter2@b\"]"), 9, "url: found a list; allowed: a string"),
        (format!("{name}url = \"redis://:hunter2@b:x\""), 9, "found \"redis://***@b:x\": the port is not"),
        (format!("{name}url = \"redis://:${{NOPE}}@b\""), 9, "the environment has no variable NOPE"),
        (format!("{name}url = \"redis://b\"\nweight = -1"), 10, "weight: found -1; allowed: a whole number"),
        (format!("{name}url = \"redis://b\"\nweight = 0"), 10, "has weight 0; \"go-redis\" allows 1"),
        (format!("{name}url = \"redis://b\"\nnamed = true"), 10, "only jedis and jedis-2.9 know"),
        (
            format!("{name}url = \"redis://b\"\nid = \"\""),
            10,
            "id: found \"\"; allowed: a string that is not",
        ),
        (
            format!("{name}url = \"redis://b\"\nid = \"a\""),
            10,
            "have the same identity \"a\"; give one of them another id",
        ),
        (format!("{name}url = \"redis://b\"\ntls = {{}}"), 10, "tls where the url begins with rediss://"),
        (
            format!("{name}url = \"rediss://b\"\ntls = {{ cert = \"client.pem\" }}"),
            10,
            "only one of cert and key",
        ),
        (
            format!("{name}url = \"rediss://b\"\ntls = {{ ca = \"none.pem\" }}"),
            10,
            "tls: ca: the file \"/etc/none.pem\" cannot be read",
        ),
        (
            format!("{name}url = \"rediss://b\"\ntls = {{ ca = \"client.key\" }}"),
            10,
            "no line -----BEGIN CERT",
        ),
        (format!("{name}url = \"rediss://b\"\ntls = {{ authority = \"ca.pem\" }}"), 10, "tls: unknown field"),
        (format!("{name}url = \"redis://b\"\npassword_file = \"hunter2\""), 10, "cannot be read"),
        (
            format!("{name}url = \"redis://b\"\npassword_file = \"/run/secrets/none\""),
            10,
            "password_file: the file \"/run/secrets/none\" cannot be read",
        ),
        // A password in place of a file, which may have a slash in it.
        (
            format!("{name}url = \"redis://b\"\npassword_file = \"hunter2/q8fK\""),
            10,
            "password_file: the file of this name in \"/etc\" cannot be read",
        ),
        (
            format!("{name}url = \"redis://b\"\npassword_file = \"two-lines\""),
            10,
            "the file of this name in \"/etc\" is empty or has several lines",
        ),
        (format!("{name}url = \"redis://b\"\npassword_file = \"empty\""), 10, "is empty"),
        (format!("{name}url = \"redis://:x@b\"\npassword_file = \"secrets/s2\""), 10, "allowed: one of both"),
    ] {
        let message = refused(&two(&format!("[[ring.shard]]\n{fields}\n")));
        assert!(message.starts_with(&format!("f.toml:{line}: ring \"cache\": ")), "{fields}: {message}");
        assert!(message.contains(expected), "{fields}: {message}");
    }
    let weights = ring("placement = { like = \"jump\" }") + "weight = 2\n";
    assert!(refused(&weights).starts_with("f.toml:12: ring \"cache\": placement: shard \"b\" has weight 2"));
    for like in ["roshi", "jump", "phpredis"] {
        let message = refused(&(ring(&format!("placement = {{ like = \"{like}\" }}")) + "id = \"x\"\n"));
        assert!(
            message.starts_with("f.toml:12: ring \"cache\": placement: shard \"b\" has an id, but"),
            "{like}: {message}"
        );
    }
}

#[test]
fn mistakes_outside_of_rings() {
    let good = ring("");
    for (text, expected) in [
        (String::new(), "f.toml: there is no ring; allowed"),
        (
            format!("threads = 0\n{good}"),
            "f.toml:1: threads: found 0; allowed: a whole number from 1 to 1024",
        ),
        (format!("\nlog = \"loud\"\n{good}"), "f.toml:2: log: found \"loud\"; allowed: \"off\", \"error\""),
        (
            format!("ports = 1\n{good}"),
            "f.toml:1: unknown field \"ports\"; allowed: threads, log, watch, shutdown_delay, admin, ring",
        ),
        (
            format!("{good}[[shard]]\nname = \"x\"\n"),
            "f.toml:12: unknown field \"shard\", which belongs in [[ring.shard]]; allowed: threads",
        ),
        (
            format!("treads = 1\n{good}"),
            "f.toml:1: unknown field \"treads\"; did you mean \"threads\"? allowed",
        ),
        (format!("[admin]\nport = 1\n{good}"), "f.toml:2: admin: unknown field \"port\"; allowed: listen"),
        (
            format!("[admin]\nlisten = \"tls:127.0.0.1:1\"\n{good}"),
            "f.toml:2: admin: listen: found \"tls:127.0.0.1:1\"; allowed: an IP address with a port (\"127.0.0.1:9180\",",
        ),
        (
            format!("[admin]\nlisten = \"127.0.0.1\"\n{good}"),
            "f.toml:2: admin: listen: found \"127.0.0.1\"; allowed: an IP address with a port (\"127.0.0.1:9180\",",
        ),
        (
            format!("[admin]\nlisten = \"0.0.0.0:6380\"\n{good}"),
            "f.toml:3: ring \"cache\": listen: found \"127.",
        ),
        ("ring = 1".to_owned(), "f.toml:1: ring: found a whole number; allowed: tables"),
        (
            "[[ring]]\nname = \"r\"\n".to_owned(),
            "f.toml:1: ring \"r\": there is no shard; allowed: at least one",
        ),
        (format!("[[ring]]\n{}", shard("a", "")), "f.toml:1: ring 1: the field name is missing"),
        (
            format!("{good}{}", ring("listen = \"127.0.0.1:1\"")),
            "f.toml:13: name: found \"cache\" for two rings",
        ),
        (
            format!("{good}{}", ring("")),
            "f.toml:12: ring \"cache\": listen: found \"127.0.0.1:6380\", but ring",
        ),
        ("[[ring]\n".to_owned(), "f.toml:1: not TOML: "),
        ("a = 1\na = 2\n".to_owned(), "f.toml:2: not TOML: duplicate key \"a\""),
        (ring("queue = { bytes = 1, bytes = 2 }"), "f.toml:3: not TOML: duplicate key \"bytes\""),
        (
            format!("{}{good}", shard("a", "")),
            "f.toml:5: not TOML: duplicate key \"ring\"; [[ring.shard]] and [[ring.user]] come after their [[ring]]",
        ),
        (
            shard("a", ""),
            "f.toml:1: ring: found a table; allowed: tables, each begun by its name in [[double",
        ),
        ("[[ring]]\nurl = redis://:hunter2@h\n".to_owned(), "f.toml:2: not TOML: "),
        ("[[ring]]\nurl = \"redis://:hunter2@h\n".to_owned(), "f.toml:2: not TOML: "),
        ("[[ring]]\nurl = 'a' hunter2\n".to_owned(), "f.toml:2: not TOML: "),
    ] {
        let message = refused(&text);
        assert!(message.starts_with(expected), "{text}: {message}");
    }
}
