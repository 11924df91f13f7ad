//! The floor: a server on tokio that finds where requests end and answers each with a fixed reply, without shards. What
//! it costs is what the kernel and the runtime cost.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

/// Serves on this port of 127.0.0.1 until it is killed: `+OK`, and a value of so many bytes for `GET`.
///
/// # Errors
/// When it cannot listen.
pub fn serve(port: u16, value: usize) -> Result<(), String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let bulk = format!("${value}\r\n{}\r\n", "x".repeat(value));
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().map_err(|error| error.to_string())?;
        let address = ([127, 0, 0, 1], port).into();
        socket.set_reuseaddr(true).and_then(|()| socket.bind(address)).map_err(|error| error.to_string())?;
        let listener = socket.listen(1024).map_err(|error| error.to_string())?;
        let bulk: std::sync::Arc<[u8]> = bulk.into_bytes().into();
        loop {
            let (client, _) = listener.accept().await.map_err(|error| error.to_string())?;
            let _ = client.set_nodelay(true);
            tokio::spawn(answer(client, std::sync::Arc::clone(&bulk)));
        }
    })
}

async fn answer(mut client: TcpStream, bulk: std::sync::Arc<[u8]>) -> std::io::Result<()> {
    let (mut buffer, mut out) = (Vec::with_capacity(1 << 14), Vec::new());
    loop {
        if client.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let mut taken = 0;
        while let Some(length) = request_length(&buffer[taken..]) {
            let is_get = buffer[taken + 4..].starts_with(b"$3\r\nGET\r\n");
            out.extend_from_slice(if is_get { &bulk } else { b"+OK\r\n" });
            taken += length;
        }
        buffer.drain(..taken);
        client.write_all(&out).await?;
        out.clear();
    }
}

/// The length of the first request, when all of it is there.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let (words, mut at) = number(bytes, 0)?;
    for _ in 0..words {
        let (length, start) = number(bytes, at)?;
        at = start + length + 2;
    }
    (at <= bytes.len()).then_some(at)
}

/// The number of a line, after its first byte, and where the next line begins.
fn number(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let (mut number, mut at) = (0_usize, from + 1);
    loop {
        match bytes.get(at)? {
            b'\r' => return Some((number, at + 2)),
            digit => number = number * 10 + usize::from(digit.wrapping_sub(b'0') & 15),
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_end_where_they_end() {
        let get = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
        assert_eq!(request_length(get), Some(get.len()));
        assert_eq!(request_length(&get[..get.len() - 1]), None);
        assert_eq!(request_length(&[&get[..], b"*1\r\n"].concat()), Some(get.len()));
    }
}
