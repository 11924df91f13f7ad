//! One connection of a model shard.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    time::sleep,
};

use super::{
    host::Inner,
    lie::After,
    model::{self, Manner, Words},
    pipe::Socket,
};

/// Answers until the client goes away or a lie ends the connection.
pub(super) async fn serve(mut socket: Socket, host: &Inner, line: u64, heard: &Notify) -> io::Result<()> {
    let (mut arrived, mut manner) = (Vec::new(), Manner::default());
    let mut silent = false;
    loop {
        while let Some(words) = model::take_request(&mut arrived) {
            host.goes_on().await;
            let latency = host.lock().latency;
            if !latency.is_zero() {
                sleep(latency).await;
                host.goes_on().await;
            }
            host.lets_run(&model::name(&words)).await;
            if socket.was_reset() {
                return Ok(());
            }
            let (reply, after) = answer(host, line, &mut manner, &words);
            if silent {
                continue;
            }
            // Where this half of the connection was ended, the other is still read.
            silent = socket.write_all(&reply).await.is_err();
            match after {
                After::Honesty => {}
                After::Silence => silent = true,
                After::Dripping => drip(&mut socket).await?,
                After::End => return Ok(()),
            }
        }
        host.goes_on().await;
        let sips = host.lock().sips;
        let mut room = vec![0; sips.map_or(64 << 10, |(bytes, _)| bytes)];
        let count = tokio::select! {
            biased;
            count = socket.read(&mut room) => count?,
            () = heard.notified() => {
                host.goes_on().await;
                let pushed = host.lock().pushed(line);
                silent = silent || socket.write_all(&pushed).await.is_err();
                continue;
            }
        };
        if count == 0 {
            return Ok(());
        }
        arrived.extend_from_slice(&room[..count]);
        // Asked again: it may have changed while nothing came.
        let sips = host.lock().sips;
        if let Some((_, pause)) = sips {
            sleep(pause).await;
        }
    }
}

/// Runs one request, and says what is sent and how it goes on.
fn answer(host: &Inner, line: u64, manner: &mut Manner, words: &Words) -> (Vec<u8>, After) {
    let mut state = host.lock();
    let name = model::name(words);
    let mut applied = Vec::new();
    // What was published before this is told before its answer.
    let pushed = state.pushed(line);
    let reply = if state.loading && !model::while_loading(&name) {
        manner.refuse();
        b"-LOADING Redis is loading the dataset in memory\r\n".to_vec()
    } else if let "PUBLISH" | "SPUBLISH" = &*name {
        applied.push(words.clone());
        format!(":{}\r\n", state.publish(words)).into_bytes()
    } else {
        let topics = state.lines.get_mut(&line).map(|line| &mut line.topics);
        match topics.and_then(|topics| topics.change(manner.speaks_resp3(), words)) {
            Some(confirmed) => confirmed,
            None => state.store.answer(manner, words, &mut |words| applied.push(words.to_vec())),
        }
    };
    let told = if model::is_handshake(&name) { None } else { state.told() };
    drop(state);
    host.record(applied);
    let (reply, after) = told.map_or((reply.clone(), After::Honesty), |lie| lie.instead_of(reply));
    ([pushed, reply].concat(), after)
}

async fn drip(socket: &mut Socket) -> io::Result<()> {
    loop {
        socket.write_all(b".").await?;
        sleep(Duration::from_millis(50)).await;
    }
}
