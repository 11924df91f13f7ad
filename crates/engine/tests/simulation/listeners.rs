//! Who listens, to what, and what they hear.
//!
//! | promise | how it is seen |
//! |---|---|
//! | what is heard was published, on the shard that it came from | [`Diary::check`]: every message has a token, and model shards note what is published |
//! | nobody hears what he does not listen to | the same: the topic was begun, and not ended when the message was published |
//! | what one shard sends is heard in order, and once a topic | the same |
//! | nothing is lost where nothing goes wrong | the same, of shards that were never ill in a ring that never changed |
//! | who falls behind is told so | [`Ear::hear`]: that is the only error |
//! | subscriptions are restored | [`World::restored`]: what is published when all is well again is heard |

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rendis_engine::error::{Error, Kind};
use rendis_engine::pubsub::{Hub, Limits, Listener, Message, TopicKind};
use rendis_testkit::Reply;
use rendis_testkit::sim::{Applied, Dice};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::calls::{Ask, FOR_EVER, Told, token_of};
use crate::trace::Trace;
use crate::world::World;

/// A listener, and what is known of it.
pub(crate) struct Ear {
    number: usize,
    listener: Listener,
    /// It takes its time, and has little room.
    slow: bool,
    diary: Mutex<Diary>,
}

pub(crate) struct Diary {
    number: usize,
    topics: BTreeMap<Topic, Vec<Span>>,
    heard: Vec<Heard>,
    ended: bool,
}

type Topic = (TopicKind, String);

/// A time in which a topic is listened to.
struct Span {
    from: Instant,
    confirmed: Option<Instant>,
    until: Option<Instant>,
}

struct Heard {
    at: Instant,
    topic: Topic,
    channel: String,
    token: u64,
    shard: String,
}

impl Ear {
    pub(crate) fn new(number: usize, hub: &Hub, dice: &Dice) -> Self {
        let slow = dice.percent(20);
        let diary = Diary { number, topics: BTreeMap::new(), heard: Vec::new(), ended: false };
        let limits = if slow { Limits { messages: 3, ..Limits::default() } } else { Limits::default() };
        Self { number, listener: hub.listener(limits), slow, diary: Mutex::new(diary) }
    }

    /// Reads until it is ended.
    pub(crate) fn hear(self: &Arc<Self>, dice: &Dice, trace: &Trace) -> JoinHandle<()> {
        let (ear, dice, trace) = (Arc::clone(self), dice.clone(), trace.clone());
        tokio::spawn(async move {
            while let Some(next) = ear.listener.next().await {
                match next {
                    Ok(message) => ear.heard(&message, &trace),
                    Err(error) if ear.slow && error.kind() == Kind::Busy => {
                        trace.note(|| format!("listener {} fell behind", ear.number));
                    }
                    Err(error) => trace.wrong(|| format!("listener {} was ended: {error}", ear.number)),
                }
                if ear.slow {
                    sleep(dice.millis(0..=200)).await;
                }
            }
            ear.diary().ended = true;
        })
    }

    fn heard(&self, message: &Message, trace: &Trace) {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let channel = text(&message.channel);
        let named = message.payload.starts_with(format!("{channel}|").as_bytes());
        let Some(token) = token_of(&message.payload).filter(|_| named) else {
            trace.wrong(|| format!("listener {} heard {message:?}", self.number));
            return;
        };
        trace.note(|| {
            format!("listener {} heard {token} on {channel} from {}", self.number, message.shard.name)
        });
        let topic = (message.kind, message.pattern.as_ref().map_or_else(|| channel.clone(), text));
        let shard = message.shard.name.to_string();
        self.diary().heard.push(Heard { at: Instant::now(), topic, channel, token, shard });
    }

    fn diary(&self) -> MutexGuard<'_, Diary> {
        self.diary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it; what is left is what was heard.
    pub(crate) fn end(self) -> Diary {
        self.diary.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// One listener: begins and ends topics until the end.
    pub(crate) async fn listen(self: Arc<Self>, ear: Arc<Ear>, until: Instant) {
        let dice = &self.dice;
        while Instant::now() < until {
            sleep(dice.millis(0..=1000)).await;
            let kind = dice.one_of(&[
                TopicKind::Channel,
                TopicKind::Channel,
                TopicKind::Pattern,
                TopicKind::ShardChannel,
            ]);
            let names: Vec<String> = (0..dice.number(1..=3)).map(|_| self.topic(kind)).collect();
            if dice.percent(25) {
                ear.listener.remove(kind, names.iter().cloned().map(Bytes::from));
                self.trace.note(|| format!("listener {} leaves {kind:?} {names:?}", ear.number));
                names.iter().for_each(|name| ear.diary().end(kind, name));
            } else {
                self.begin_topics(&ear, kind, &names).await;
            }
        }
    }

    async fn begin_topics(&self, ear: &Ear, kind: TopicKind, names: &[String]) {
        let began = Instant::now();
        let fresh: Vec<&String> = names.iter().filter(|name| ear.diary().begin(kind, name)).collect();
        let patience = if self.dice.percent(10) { self.dice.millis(0..=20) } else { FOR_EVER };
        let added = timeout(patience, ear.listener.add(kind, names.iter().cloned().map(Bytes::from))).await;
        let took = began.elapsed();
        self.trace
            .note(|| format!("listener {} adds {kind:?} {names:?}: {added:?} after {took:?}", ear.number));
        if took > self.deadlines.connect + self.deadlines.reply + Duration::from_millis(50) {
            self.trace.wrong(|| format!("listener {} waited for {took:?}", ear.number));
        }
        match added {
            Ok(Ok(())) => names.iter().for_each(|name| ear.diary().confirm(kind, name)),
            failed => {
                if let Ok(Err(error)) = failed
                    && !is_known(&error, ear.slow)
                {
                    self.trace.wrong(|| format!("listener {} was refused: {error}", ear.number));
                }
                fresh.iter().for_each(|name| ear.diary().end(kind, name));
            }
        }
    }

    fn topic(&self, kind: TopicKind) -> String {
        match kind {
            TopicKind::Pattern => self.dice.one_of(&["c*", "c1*", "d*"]).to_owned(),
            _ => self.channel(),
        }
    }

    /// The name of a channel.
    pub(crate) fn channel(&self) -> String {
        format!("{}{}", self.dice.one_of(&["c", "d"]), self.dice.index(3))
    }

    /// What is published now is heard by all who listened before all went wrong.
    pub(crate) async fn restored(&self) {
        sleep(SILENCE + self.deadlines.connect + self.deadlines.reply * 2).await;
        let mut due = Vec::new();
        for ear in &self.ears {
            let open = |spans: &Vec<Span>| spans.iter().any(|span| span.until.is_none());
            let topics: Vec<Topic> = ear
                .diary()
                .topics
                .iter()
                .filter(|(_, spans)| open(spans))
                .map(|(topic, _)| topic.clone())
                .collect();
            for topic in topics {
                let (token, channel) = (self.token(), topic.1.replace('*', "9"));
                let ask = Ask::Publish(topic.0 == TopicKind::ShardChannel, channel, token);
                if let Told::Answer(Reply::Integer(_)) = self.ask(ask, None).await {
                    due.push((Arc::clone(ear), topic, token));
                }
            }
        }
        sleep(ON_ITS_WAY + Duration::from_secs(1)).await;
        for (ear, topic, token) in due {
            let diary = ear.diary();
            if !diary.ended && !diary.heard.iter().any(|heard| heard.topic == topic && heard.token == token) {
                self.trace
                    .wrong(|| format!("listener {} does not hear {token} through {topic:?}", ear.number));
            }
        }
    }
}

impl Diary {
    /// How many messages it heard.
    pub(crate) fn heard(&self) -> usize {
        self.heard.len()
    }

    /// What it heard against what was published. `faithful` are the shards on which nothing can have been lost, with what
    /// is placed on them.
    pub(crate) fn check(
        &self,
        applied: &[Applied],
        faithful: impl Fn(&str, &str) -> bool,
        moving: impl Fn(&str, Instant) -> bool,
    ) -> Vec<String> {
        let mut published = BTreeMap::new();
        for (index, applied) in applied.iter().enumerate() {
            if let [command, _, payload] = &applied.words[..]
                && command.ends_with(b"PUBLISH")
            {
                published.insert(token_of(payload).unwrap(), (index, applied));
            }
        }
        let (mut wrong, mut last, mut of_topic) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for heard in &self.heard {
            let Heard { at, topic, channel, token, shard } = heard;
            let told =
                format!("listener {} heard {token} on {channel} from {shard} through {topic:?}", self.number);
            let Some((index, source)) = published.get(token).filter(|(_, source)| source.host == *shard)
            else {
                wrong.push(format!("{told}, where it was not published"));
                continue;
            };
            let through = if topic.0 == TopicKind::ShardChannel { &b"SPUBLISH"[..] } else { b"PUBLISH" };
            let listens = |span: &Span| span.from <= *at && span.until.is_none_or(|until| source.at <= until);
            if source.words[..2] != [through, channel.as_bytes()]
                || !self.topics.get(topic).is_some_and(|spans| spans.iter().any(listens))
            {
                wrong.push(format!("{told}, to which it does not listen"));
            }
            let moves = moving(shard, source.at);
            if last.insert(shard, *index).is_some_and(|before| before > *index) && !moves {
                wrong.push(format!("{told}, after a later one"));
            }
            if of_topic.insert((shard, topic), *index).is_some_and(|before| before >= *index) && !moves {
                wrong.push(format!("{told}, again"));
            }
        }
        if self.ended {
            return wrong;
        }
        for (topic, spans) in &self.topics {
            for (token, (_, source)) in &published {
                let channel = String::from_utf8_lossy(&source.words[1]);
                let misses = |span: &Span| {
                    span.confirmed.is_some_and(|confirmed| confirmed < source.at)
                        && span.until.is_none_or(|until| source.at + ON_ITS_WAY < until)
                };
                if covers(topic, &source.words[0], &channel)
                    && spans.iter().any(misses)
                    && faithful(&source.host, &channel)
                    && !self.heard.iter().any(|heard| heard.topic == *topic && heard.token == *token)
                {
                    wrong.push(format!("listener {} did not hear {token} on {channel}", self.number));
                }
            }
        }
        wrong
    }

    /// True when it was not listened to before.
    fn begin(&mut self, kind: TopicKind, name: &str) -> bool {
        let spans = self.topics.entry((kind, name.to_owned())).or_default();
        let fresh = spans.last().is_none_or(|span| span.until.is_some());
        if fresh {
            spans.push(Span { from: Instant::now(), confirmed: None, until: None });
        }
        fresh
    }

    fn confirm(&mut self, kind: TopicKind, name: &str) {
        if let Some(span) = self.topics.get_mut(&(kind, name.to_owned())).and_then(|spans| spans.last_mut()) {
            span.confirmed = span.confirmed.or(Some(Instant::now()));
        }
    }

    fn end(&mut self, kind: TopicKind, name: &str) {
        if let Some(span) = self.topics.get_mut(&(kind, name.to_owned())).and_then(|spans| spans.last_mut()) {
            span.until = span.until.or(Some(Instant::now()));
        }
    }
}

/// Whether what is published so on this channel is heard through the topic.
fn covers(topic: &Topic, command: &[u8], channel: &str) -> bool {
    match topic {
        (TopicKind::Channel, name) => command == b"PUBLISH" && name == channel,
        (TopicKind::ShardChannel, name) => command == b"SPUBLISH" && name == channel,
        (TopicKind::Pattern, name) => {
            command == b"PUBLISH" && name.strip_suffix('*').is_some_and(|start| channel.starts_with(start))
        }
    }
}

fn is_known(error: &Error, slow: bool) -> bool {
    match error.kind() {
        Kind::ShardDown | Kind::Timeout | Kind::Protocol => true,
        Kind::Server => error.to_string().contains("LOADING"),
        // It fell behind, and was told so.
        Kind::Busy | Kind::Refused => slow,
        _ => false,
    }
}

/// How long a message takes at the most where nothing is wrong, and a listener to take what waits for it.
pub(crate) const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// A connection that says nothing is asked after three seconds, and one that cannot be made is tried again after one.
pub(crate) const SILENCE: Duration = Duration::from_secs(4);
