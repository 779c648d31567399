//! Frames: four bytes that say how long a message is, least significant first, and so many bytes of JSON.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The most bytes of a message. The plan of a graph of 100,000 nodes is 13 MB; that of the largest that protobuf allows may be
/// more than this, and is then an error that says so.
pub(super) const MOST: usize = 16 << 20;
/// The most values of a message: in memory each takes many times the room of its text.
const MOST_VALUES: usize = 2_000_000;

/// A message as a frame.
pub(super) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - 4;
    let prefix = u32::try_from(length).ok().filter(|_| length <= MOST).ok_or_else(|| too_long(length))?;
    if let Some(start) = frame.first_chunk_mut() {
        *start = prefix.to_le_bytes();
    }
    Ok(frame)
}

/// How many bytes follow.
fn length(prefix: [u8; 4]) -> io::Result<usize> {
    usize::try_from(u32::from_le_bytes(prefix)).ok().filter(|&n| n <= MOST).ok_or_else(|| too_long(MOST + 1))
}

fn too_long(length: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes, and {MOST} are the most"))
}

/// Writes a message at once.
pub(super) fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&encode(message)?)?;
    to.flush()
}

/// The next message; `None` at the end.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut prefix = [0; 4];
    match from.read_exact(&mut prefix) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    // Grows with what comes, not with what was announced.
    let length = length(prefix)?;
    let mut text = Vec::new();
    from.take(length as u64).read_to_end(&mut text)?;
    parse(&text, length).map(Some)
}

/// A message of so many bytes. What it holds is bounded before it is held.
fn parse<T: DeserializeOwned>(text: &[u8], length: usize) -> io::Result<T> {
    if text.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if text.iter().filter(|byte| matches!(byte, b'{' | b'[' | b',')).count() > MOST_VALUES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of more than {MOST_VALUES} values")));
    }
    Ok(serde_json::from_slice(text)?)
}

/// Writes a message at once.
pub(super) async fn send(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    to.write_all(&encode(message)?).await?;
    to.flush().await
}

/// The next message; `None` at the end.
pub(super) async fn receive<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<T>> {
    let mut prefix = [0; 4];
    match from.read_exact(&mut prefix).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let length = length(prefix)?;
    let mut text = Vec::new();
    from.take(length as u64).read_to_end(&mut text).await?;
    parse(&text, length).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_come_as_they_were_sent_and_both_sides_agree() {
        let mut bytes = Vec::new();
        write(&mut bytes, &"one").unwrap();
        send(&mut bytes, &vec![2, 3]).await.unwrap();
        let mut sync = &*bytes;
        assert_eq!(read::<String>(&mut sync).unwrap().as_deref(), Some("one"));
        assert_eq!(read::<Vec<u8>>(&mut sync).unwrap(), Some(vec![2, 3]));
        assert_eq!(read::<String>(&mut sync).unwrap(), None);
        let mut other = &*bytes;
        assert_eq!(receive::<String>(&mut other).await.unwrap().as_deref(), Some("one"));
        assert_eq!(receive::<Vec<u8>>(&mut other).await.unwrap(), Some(vec![2, 3]));
        assert_eq!(receive::<String>(&mut other).await.unwrap(), None);
    }

    #[test]
    fn what_is_too_long_cut_off_or_no_json_is_an_error() {
        assert_eq!(encode(&"x".repeat(MOST)).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(read::<String>(&mut &u32::MAX.to_le_bytes()[..]).is_err());
        assert!(read::<String>(&mut &[5, 0, 0, 0, b'"'][..]).is_err());
        assert!(read::<String>(&mut &[1, 0, 0, 0, b'{'][..]).is_err());
        assert_eq!(read::<String>(&mut &[1, 0][..]).unwrap(), None);
        let many = encode(&vec![Vec::<u8>::new(); MOST_VALUES]).unwrap();
        assert_eq!(read::<Vec<Vec<u8>>>(&mut &*many).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
