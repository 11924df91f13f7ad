//! How many requests of one client are under way at a time.
//!
//! What they will be answered with is not known when they are sent, and what has been sent cannot be taken back. So a
//! client begins with few, twice as many are sent each time as long as replies are small, and where they are large only
//! as many as should bring [`EXPECTED`] in all, down to one at a time.

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    requests: usize,
}

impl Window {
    /// How many requests may be under way.
    pub(crate) const fn requests(self) -> usize {
        self.requests
    }

    /// Learns from what so many requests, that were under way together, were answered with.
    pub(crate) fn learn(&mut self, replies: usize, bytes: usize) {
        let fitting = EXPECTED / (bytes / replies.max(1)).max(1);
        // One that did not fill the window says nothing about a larger one.
        let grown = if replies < self.requests { self.requests } else { self.requests * 2 };
        self.requests = grown.min(fitting).clamp(1, MOST);
    }
}

impl Default for Window {
    fn default() -> Self {
        Self { requests: FIRST }
    }
}

/// What a client begins with, and how many requests are under way at most: values of 1 MiB, met after small ones, are less
/// than may be held.
const FIRST: usize = 32;
const MOST: usize = 128;

/// How many bytes of replies may be expected at a time.
const EXPECTED: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_replies_open_the_window_and_large_ones_close_it() {
        let mut window = Window::default();
        window.learn(16, 16 * 5);
        assert_eq!(window.requests(), FIRST, "it was not full");
        let mut grown = Vec::new();
        for _ in 0..4 {
            window.learn(window.requests(), window.requests() * 70);
            grown.push(window.requests());
        }
        assert_eq!(grown, [64, 128, 128, 128]);
        window.learn(128, 128 << 20);
        assert_eq!(window.requests(), 1);
        window.learn(1, 600 << 20);
        assert_eq!(window.requests(), 1);
        window.learn(1, 100 << 10);
        assert_eq!(window.requests(), 2);
        for _ in 0..9 {
            window.learn(window.requests(), window.requests() * (100 << 10));
        }
        assert_eq!(window.requests(), 10, "about 1 MiB in all");
        window.learn(0, 0);
        assert_eq!(window.requests(), 10);
    }
}
