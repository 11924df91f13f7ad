//! Loopback ports that stay ours while nobody listens on them.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
};

/// A TCP port of 127.0.0.1, kept for this test until it is dropped.
///
/// Between a server's death and its restart its port must not fall to another test. So a port is held by binding
/// the *UDP* port of the same number, which other tests respect, and which the system gives back when this process
/// ends, however it ends. Ports come from below the range that the system uses for outgoing connections: there, a
/// client that keeps connecting to a dead server can meet its own socket and believe the server alive.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _held: UdpSocket,
}

impl Port {
    /// A port on which nobody listens.
    ///
    /// # Panics
    /// When none of the range is free.
    #[must_use]
    pub fn free() -> Self {
        for _ in 0..COUNT {
            let number = FIRST + next() % COUNT;
            let Ok(held) = UdpSocket::bind(("127.0.0.1", number)) else { continue };
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _held: held };
            }
        }
        panic!("no free loopback port between {FIRST} and {}", FIRST + COUNT - 1);
    }

    /// The port's number.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.number))
    }
}

const FIRST: u16 = 16_000;
const COUNT: u16 = 16_000;

/// Processes begin at different places, so that they seldom meet.
fn next() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    static START: std::sync::OnceLock<u16> = std::sync::OnceLock::new();
    let start = *START.get_or_init(|| (std::process::id().wrapping_mul(7919) % u32::from(COUNT)) as u16);
    start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_held_apart_and_given_back() {
        let ports: Vec<Port> = (0..50).map(|_| Port::free()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
        assert!(UdpSocket::bind(ports[0].address()).is_err());
        let address = ports[0].address();
        drop(ports);
        assert!(TcpListener::bind(address).is_ok());
    }
}
