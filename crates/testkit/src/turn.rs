//! A task's turn on a tokio runtime.

/// Uses up the turn of this task: until it has given way to others, the runtime's sockets say that they are not ready.
pub async fn use_up_the_turn() {
    tokio::task::yield_now().await;
    for _ in 0..128 {
        tokio::task::coop::consume_budget().await;
    }
}
