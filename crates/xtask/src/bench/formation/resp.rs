//! Asking a Redis node over its port: one connection, one command at a time. Small, so that asking a hundred nodes
//! again and again costs them next to nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// How long a node may take to connect or to answer; a hundred nodes on two cores are slow at times.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// The longest reply that is taken. Bytes.
const LONGEST: usize = 16 << 20;

/// A connection to one node.
#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(super) fn open(at: SocketAddrV4) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&SocketAddr::V4(at), ANSWER_WITHIN);
        let stream = stream.with_context(|| format!("no connection to {at}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends an inline command, whose words have no spaces, and reads a reply that is text.
    pub(super) fn ask(&mut self, command: &str) -> Result<String> {
        self.stream.get_mut().write_all(format!("{command}\r\n").as_bytes())?;
        let mut head = String::new();
        self.stream.read_line(&mut head)?;
        ensure!(head.ends_with("\r\n"), "the node hung up");
        let head = head.trim_end();
        let (kind, rest) = head.split_at_checked(1).with_context(|| format!("{head:?} is no reply"))?;
        match kind {
            "+" => Ok(rest.to_owned()),
            "$" => self.bulk(rest),
            "-" => bail!("{command} was refused: {rest}"),
            _ => bail!("{command} was answered with {head:?}, which is no text"),
        }
    }

    fn bulk(&mut self, length: &str) -> Result<String> {
        let length: usize = length.parse().with_context(|| format!("{length:?} is no length of a reply"))?;
        ensure!(length <= LONGEST, "a reply of {length} bytes is too long");
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes)?;
        bytes.truncate(length);
        String::from_utf8(bytes).context("a reply is not UTF-8")
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, SocketAddrV4, TcpListener};

    use super::Connection;

    /// What comes of asking a node that answers with `reply`.
    fn asked(reply: &'static str) -> anyhow::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("its address");
        let node = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut word = [0; 6];
            stream.read_exact(&mut word).expect("a command");
            stream.write_all(reply.as_bytes()).expect("sent");
            word
        });
        let SocketAddr::V4(at) = at else { panic!("{at} is not of IPv4") };
        let answer = Connection::open(SocketAddrV4::new(*at.ip(), at.port())).expect("connected").ask("PING");
        assert_eq!(&node.join().expect("asked"), b"PING\r\n");
        answer
    }

    #[test]
    fn text_is_read_whole() {
        assert_eq!(asked("$9\r\na: 1\r\nb:2\r\n").expect("a bulk"), "a: 1\r\nb:2");
        assert_eq!(asked("$0\r\n\r\n").expect("a bulk"), "");
        assert_eq!(asked("+PONG\r\n").expect("a line"), "PONG");
    }

    #[test]
    fn an_error_of_the_node_is_an_error() {
        let refused = asked("-ERR unknown command\r\n").expect_err("refused");
        assert_eq!(refused.to_string(), "PING was refused: ERR unknown command");
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for reply in [":1\r\n", "$-1\r\n", "$99999999999\r\n", "$x\r\n", "\r\n", "$5\r\nab", ""] {
            assert!(asked(reply).is_err(), "{reply:?}");
        }
    }
}
