//! Just enough HTTP to call the service without another crate.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In seconds.
    pub(crate) retry_after: Option<u64>,
}

/// One request on a connection of its own. Prints what came back.
pub(crate) async fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    json: &str,
) -> io::Result<Answer> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{json}",
        json.len()
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;

    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(not_http)?;
    let answer = read(head).ok_or_else(not_http)?;
    println!("{method} {path} {json} -> {} {body}", answer.status);
    Ok(answer)
}

fn read(head: &str) -> Option<Answer> {
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let retry_after = headers
        .filter(|(name, _)| name.eq_ignore_ascii_case("retry-after"))
        .find_map(|(_, seconds)| seconds.parse().ok());
    Some(Answer { status, retry_after })
}

fn not_http() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP")
}
