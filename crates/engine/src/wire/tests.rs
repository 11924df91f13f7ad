//! What a wire makes of a socket's end, and of replies that it does not expect.

use std::io;

use rendis_core::request::RequestBuf;
use rendis_core::session::{QueueLimits, Replies, Sent};
use tokio::io::{AsyncWriteExt, ReadBuf};

use super::*;
use crate::queue::{Admission, Call};

/// A socket that takes `takes` bytes and then is gone, both ways.
struct Vanishing {
    takes: usize,
}

impl AsyncRead for Vanishing {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Vanishing {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = bytes.len().min(self.takes);
        self.takes -= taken;
        if taken == 0 { Poll::Pending } else { Poll::Ready(Ok(taken)) }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_the_socket_took_before_it_vanished_may_have_run() {
    let request = RequestBuf::pack([&b"INCR"[..], b"key"]);
    let length = request.view().bytes().len();
    for (takes, first, second) in [
        (2 * length, Sent::Maybe, Sent::Maybe),
        (length, Sent::Maybe, Sent::No),
        (2 * length - 1, Sent::Maybe, Sent::No),
        (length - 1, Sent::No, Sent::No),
    ] {
        let queue = Queue::new(QueueLimits::default());
        let (pulse, deadlines) = (Pulse::default(), Deadlines::default());
        let allowed = Duration::from_secs(9);
        let calls = async {
            tokio::join!(Call::new(&queue, &request, allowed), Call::new(&queue, &request, allowed))
        };
        let wire = async {
            let served = serve(Vanishing { takes }, &queue, &pulse, &deadlines, false).await;
            let End::Lost(cause) = served else {
                panic!("the socket is gone");
            };
            queue.fail(&cause, Admission::Open);
        };
        let ((one, two), ()) = tokio::join!(calls, wire);
        assert_eq!(one.unwrap_err().sent, first, "{takes} of {length} bytes");
        assert_eq!(two.unwrap_err().sent, second, "{takes} of {length} bytes");
    }
}

#[tokio::test]
async fn what_nobody_asked_for_ends_the_wire_behind_what_was_asked_for() {
    let request = RequestBuf::pack([&b"GET"[..], b"key"]);
    let length = request.view().bytes().len();
    for (answers, unasked, second) in [
        (&b"+one\r\n+two\r\n+three\r\n"[..], "a reply", Some(&b"+two\r\n"[..])),
        (b"+one\r\n>1\r\n+message\r\n+two\r\n", "a push", None),
        (b"+one\r\n|1\r\n+a\r\n+b\r\n>1\r\n+message\r\n", "a push", None),
        (b"+one\r\n+two\r\n>0\r\n", "a push", Some(b"+two\r\n")),
    ] {
        let queue = Queue::new(QueueLimits::default());
        let (pulse, deadlines) = (Pulse::default(), Deadlines::default());
        let allowed = Duration::from_secs(9);
        let (near, mut far) = tokio::io::duplex(1 << 10);
        let calls = async {
            tokio::join!(Call::new(&queue, &request, allowed), Call::new(&queue, &request, allowed))
        };
        let wire = async {
            let End::Lost(cause) = serve(near, &queue, &pulse, &deadlines, false).await else {
                panic!("it is out of step");
            };
            queue.fail(&cause, Admission::Open);
            cause
        };
        let server = async {
            far.read_exact(&mut vec![0; 2 * length]).await.unwrap();
            far.write_all(answers).await.unwrap();
        };
        let ((one, two), cause, ()) = tokio::join!(calls, wire, server);
        let text = answers.escape_ascii();
        assert_eq!(one.unwrap(), Replies::One(Reply::from_static(b"+one\r\n")), "{text}");
        match second {
            Some(frame) => assert_eq!(two.unwrap(), Replies::One(Reply::from_static(frame)), "{text}"),
            None => assert_eq!(two.unwrap_err().sent, Sent::Maybe, "{text}"),
        }
        assert_eq!(
            (cause.kind, &*cause.text),
            (Kind::Protocol, &*format!("{unasked} that nobody asked for")),
            "{text}"
        );
    }
}
