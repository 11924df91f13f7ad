//! What the connections of a model shard listen to.

use std::collections::BTreeSet;

use super::model::{Words, name};

/// What one connection listens to, and what it is still to be sent of it.
#[derive(Debug, Default)]
pub(super) struct Topics {
    listened: BTreeSet<(Kind, Vec<u8>)>,
    resp3: bool,
    pub(super) pushed: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Channel,
    Pattern,
    ShardChannel,
}

impl Kind {
    const ALL: [(Self, &str); 3] =
        [(Self::Channel, "SUBSCRIBE"), (Self::Pattern, "PSUBSCRIBE"), (Self::ShardChannel, "SSUBSCRIBE")];
}

impl Topics {
    /// Begins and ends topics: the confirmations. `None` when that is not what is asked for.
    pub(super) fn change(&mut self, resp3: bool, words: &Words) -> Option<Vec<u8>> {
        let name = name(words);
        let (begins, name) = match name.split_once("UN") {
            Some((kind, rest)) => (false, format!("{kind}{rest}")),
            None => (true, name),
        };
        let (kind, _) = Kind::ALL.into_iter().find(|(_, command)| *command == name)?;
        self.resp3 = resp3;
        let mut confirmed = Vec::new();
        for topic in words.iter().skip(1) {
            if begins {
                self.listened.insert((kind, topic.clone()));
            } else {
                self.listened.remove(&(kind, topic.clone()));
            }
            let word = words[0].to_ascii_lowercase();
            confirmed.extend(self.frame(&[&word, topic], Some(self.listened.len())));
        }
        Some(confirmed)
    }

    /// Somebody published something; true when this connection is sent it, once for each topic of its.
    pub(super) fn hear(&mut self, words: &Words) -> bool {
        let (channel, payload) = (&*words[1], &*words[2]);
        let mut messages = Vec::new();
        for (kind, topic) in &self.listened {
            match (kind, name(words).as_str()) {
                (Kind::Channel, "PUBLISH") if topic == channel => {
                    messages.push(self.frame(&[b"message", channel, payload], None));
                }
                (Kind::ShardChannel, "SPUBLISH") if topic == channel => {
                    messages.push(self.frame(&[b"smessage", channel, payload], None));
                }
                (Kind::Pattern, "PUBLISH") if matches(topic, channel) => {
                    messages.push(self.frame(&[b"pmessage", topic, channel, payload], None));
                }
                _ => {}
            }
        }
        self.pushed.extend(messages.concat());
        !messages.is_empty()
    }

    fn frame(&self, words: &[&[u8]], count: Option<usize>) -> Vec<u8> {
        let kind = if self.resp3 { '>' } else { '*' };
        let length = words.len() + usize::from(count.is_some());
        let mut frame = format!("{kind}{length}\r\n").into_bytes();
        for word in words {
            frame.extend([format!("${}\r\n", word.len()).as_bytes(), word, b"\r\n"].concat());
        }
        if let Some(count) = count {
            frame.extend(format!(":{count}\r\n").into_bytes());
        }
        frame
    }
}

/// Of patterns, only those with a star at their end are known.
fn matches(pattern: &[u8], channel: &[u8]) -> bool {
    pattern.strip_suffix(b"*").is_some_and(|start| channel.starts_with(start))
}
