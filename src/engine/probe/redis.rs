//! Redis: checks that a server answers `PING`.
//!
//! Also works with Valkey and other servers that speak RESP. Sends only `AUTH` and `PING`.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::{
    super::ProbeResult,
    error::ProbeError,
    tcp::Connection,
    tls::{self, Alpn, Stream, TlsMode},
};

/// Longest reply that is read, in bytes; the longest of Redis itself has about 900 (`DENIED`).
const LONGEST: u64 = 4096;
/// Maximum length of a reply that is reported, in characters.
const SHOWN: usize = 160;

/// Credentials for the login.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// The ACL user; `None` for the default user.
    pub user: Option<&'a str>,
    /// The password. It is never shown.
    pub password: &'a str,
}

/// Passes if `PING` is answered, or if the server asks for a password and none is configured.
pub async fn ask(
    line: &Connection,
    login: Option<Login<'_>>,
    wrap: TlsMode<'_>,
) -> Result<ProbeResult, ProbeError> {
    let stream = line.connect().await?;
    line.hear(async {
        let stream = tls::wrap(stream, wrap, &line.host(), Alpn::Unnamed).await?;
        let mut stream = BufReader::new(stream);
        // Both commands are sent in one packet, for one round trip.
        let mut commands = login.map(auth).unwrap_or_default();
        commands.extend(command(&["PING"]));
        stream.write_all(&commands).await?;
        if login.is_some() {
            let reply = reply(&mut stream).await?;
            if reply.starts_with('-') {
                return judge(&reply, login);
            }
        }
        let reply = reply(&mut stream).await?;
        let answer = judge(&reply, login)?;
        // The result is known, however the connection ends.
        let _ = stream.shutdown().await;
        Ok(answer)
    })
    .await
}

/// Reads one line without its end.
async fn reply(stream: &mut BufReader<Stream>) -> Result<String, ProbeError> {
    let mut line = Vec::new();
    stream.take(LONGEST).read_until(b'\n', &mut line).await?;
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
        None if line.is_empty() => Err(ProbeError::Closed),
        None => Err(ProbeError::WrongProtocol("Redis")),
    }
}

fn judge(reply: &str, login: Option<Login<'_>>) -> Result<ProbeResult, ProbeError> {
    if reply == "+PONG" {
        return Ok(ProbeResult::Passed("PONG".to_owned()));
    }
    let Some(error) = reply.strip_prefix('-') else {
        return Err(ProbeError::WrongProtocol("Redis"));
    };
    // Some servers repeat the arguments of a command that they do not understand.
    let mut said = match login {
        Some(login) if !login.password.is_empty() => error.replace(login.password, "…"),
        _ => error.to_owned(),
    };
    if let Some((end, _)) = said.char_indices().nth(SHOWN) {
        said.truncate(end);
        said.push('…');
    }
    Ok(match (error.split(' ').next().unwrap_or(error), login) {
        ("NOAUTH", None) => ProbeResult::Passed("up, asks for a password".to_owned()),
        // None of these errors changes with time: a wrong password, insufficient permissions, or a
        // server in protected mode, which accepts connections from its own host only.
        ("NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED", _) => {
            ProbeResult::Impossible(format!("up, but refuses: {said}"))
        }
        _ => ProbeResult::Pending(said),
    })
}

fn auth(login: Login<'_>) -> Vec<u8> {
    match login.user {
        Some(user) => command(&["AUTH", user, login.password]),
        // Servers older than ACLs (Redis 6) also accept this form.
        None => command(&["AUTH", login.password]),
    }
}

/// A command as an array of bulk strings.
fn command(words: &[&str]) -> Vec<u8> {
    let head = format!("*{}\r\n", words.len());
    words
        .iter()
        .fold(head, |text, word| {
            format!("{text}${}\r\n{word}\r\n", word.len())
        })
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: Option<Login<'_>> = Some(Login {
        user: None,
        password: "hunter2",
    });

    #[test]
    fn command_lengths_are_in_bytes() {
        assert_eq!(command(&["PING"]), b"*1\r\n$4\r\nPING\r\n");
        let login = Login {
            user: Some("ci"),
            password: "pä",
        };
        let expected = "*3\r\n$4\r\nAUTH\r\n$2\r\nci\r\n$3\r\npä\r\n";
        assert_eq!(auth(login), expected.as_bytes());
    }

    #[test]
    fn reply_is_judged_by_first_word() {
        let not_yet = |text: &str| Ok(ProbeResult::Pending(text.into()));
        assert_eq!(judge("+PONG", None), Ok(ProbeResult::Passed("PONG".into())));
        assert_eq!(judge("-LOADING wait", None), not_yet("LOADING wait"));
        assert_eq!(judge("-MASTERDOWN x", LOGIN), not_yet("MASTERDOWN x"));
        assert!(matches!(
            judge("-NOAUTH x", None),
            Ok(ProbeResult::Passed(_))
        ));
        for reply in ["-NOAUTH x", "-WRONGPASS x", "-NOPERM x", "-DENIED x"] {
            assert!(
                matches!(judge(reply, LOGIN), Ok(ProbeResult::Impossible(_))),
                "{reply}"
            );
        }
        assert_eq!(
            judge("HTTP/1.1 400 Bad Request", None),
            Err(ProbeError::WrongProtocol("Redis"))
        );
    }

    #[test]
    fn echoed_password_is_masked() {
        let reply = "-ERR unknown command `AUTH`, with args beginning with: `hunter2`";
        let answer = judge(reply, LOGIN);
        let expected = "ERR unknown command `AUTH`, with args beginning with: `…`";
        assert_eq!(answer, Ok(ProbeResult::Pending(expected.into())));
    }

    #[test]
    fn long_reply_is_cut_between_characters() {
        let Ok(ProbeResult::Pending(said)) = judge(&format!("-ERR {}", "ä".repeat(500)), None)
        else {
            panic!("an error is no readiness");
        };
        assert_eq!(said.chars().count(), SHOWN + 1);
    }
}
