//! PostgreSQL: checks how a server answers a start-up message.
//!
//! Logs in only if the server asks for no password, and sends no query. Closes the connection so
//! that the server logs nothing. The messages are those of protocol 3.0 (PostgreSQL manual,
//! "Message Formats").

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    super::ProbeResult,
    error::ProbeError,
    tcp::Connection,
    tls::{self, Alpn, Stream, TlsMode},
};

/// Version 3.0, as the first field of a start-up message.
const PROTOCOL: u32 = 3 << 16;
/// Requests TLS in place of a version: 1234.5679 in decimal.
const SSL_REQUEST: u32 = 0x04d2_162f;
/// Longest message that is read, in bytes; those of a start-up have some hundred.
const LONGEST: usize = 1 << 16;
/// The error for a server that does not speak the protocol.
const WRONG_PROTOCOL: ProbeError = ProbeError::WrongProtocol("PostgreSQL");

/// Passes if the server accepts the start-up message or asks for a password.
pub async fn ask(
    line: &Connection,
    user: &str,
    database: &str,
    wrap: TlsMode<'_>,
) -> Result<ProbeResult, ProbeError> {
    let mut stream = line.connect().await?;
    line.hear(async {
        if wrap != TlsMode::Plain {
            stream.write_all(&framed(SSL_REQUEST, &[])).await?;
            match stream.read_u8().await? {
                b'S' => {}
                b'N' => {
                    return Ok(ProbeResult::Impossible(
                        "the server does not offer TLS".to_owned(),
                    ));
                }
                // An error message in place of the answer: the server cannot even fork.
                b'E' => return Ok(ProbeResult::Pending("the server has no room".to_owned())),
                _ => return Err(WRONG_PROTOCOL),
            }
        }
        let mut stream = tls::wrap(stream, wrap, &line.host(), Alpn::Unnamed).await?;
        stream.write_all(&start_up(user, database)).await?;
        let answer = loop {
            let (kind, payload) = message(&mut stream).await?;
            match judge(kind, &payload)? {
                StartupVerdict::GoOn => {}
                StartupVerdict::Leave(answer) => {
                    // Sent while the server waits for a password, it would be logged as a failed
                    // login.
                    stream.write_all(&[b'X', 0, 0, 0, 4]).await?;
                    break answer;
                }
                StartupVerdict::HangUp(answer) => break answer,
            }
        };
        // The result is known, however the connection ends.
        let _ = stream.shutdown().await;
        Ok(answer)
    })
    .await
}

/// What one message means for the probe.
#[derive(Debug, PartialEq, Eq)]
enum StartupVerdict {
    /// No result yet.
    GoOn,
    /// A result; the session is open and must be closed.
    Leave(ProbeResult),
    /// A result; there is no session.
    HangUp(ProbeResult),
}

fn judge(kind: u8, payload: &[u8]) -> Result<StartupVerdict, ProbeError> {
    Ok(match kind {
        b'R' => match payload.first_chunk() {
            Some([0, 0, 0, 0]) => StartupVerdict::GoOn,
            Some(_) => {
                StartupVerdict::HangUp(ProbeResult::Passed("up, asks for a password".to_owned()))
            }
            None => return Err(WRONG_PROTOCOL),
        },
        b'Z' => StartupVerdict::Leave(ProbeResult::Passed("up, accepts queries".to_owned())),
        b'E' => StartupVerdict::HangUp(refusal(payload)),
        // A parameter, the cancellation key, a notice, or a lower minor version.
        b'S' | b'K' | b'N' | b'v' => StartupVerdict::GoOn,
        _ => return Err(WRONG_PROTOCOL),
    })
}

/// Judges an error by its SQLSTATE (PostgreSQL manual, appendix A).
fn refusal(payload: &[u8]) -> ProbeResult {
    let (state, message) = (field(payload, b'C'), field(payload, b'M'));
    if state.starts_with("28") || state == "3D000" {
        return ProbeResult::Impossible(format!("up, but refuses: {message} ({state})"));
    }
    ProbeResult::Pending(format!("{message} ({state})"))
}

/// A field of an error message: a letter, then text up to a zero byte.
fn field(payload: &[u8], letter: u8) -> String {
    payload
        .split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(&[letter]))
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .unwrap_or_default()
}

async fn message(stream: &mut Stream) -> Result<(u8, Vec<u8>), ProbeError> {
    let kind = stream.read_u8().await?;
    let length = usize::try_from(stream.read_u32().await?).map_err(|_| WRONG_PROTOCOL)?;
    // The length includes itself.
    let length = length.checked_sub(4).ok_or(WRONG_PROTOCOL)?;
    if length > LONGEST {
        return Err(WRONG_PROTOCOL);
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    Ok((kind, payload))
}

fn start_up(user: &str, database: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for text in [
        "user",
        user,
        "database",
        database,
        "application_name",
        "cimandat",
    ] {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    framed(PROTOCOL, &body)
}

/// A first message: its length (which includes itself), a code, a body.
fn framed(code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_up_messages_match_the_manual() {
        assert_eq!(framed(SSL_REQUEST, &[]), [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]);
        let message = start_up("u", "d");
        assert_eq!(&message[..8], [0, 0, 0, 53, 0, 3, 0, 0]);
        assert_eq!(
            &message[8..],
            b"user\0u\0database\0d\0application_name\0cimandat\0\0"
        );
    }

    #[test]
    fn error_is_judged_by_sqlstate() {
        let error = |state: &str| {
            let payload = format!("SFATAL\0VFATAL\0C{state}\0Mwhat went wrong\0Fx.c\0\0");
            judge(b'E', payload.as_bytes())
        };
        let hang_up = |answer| Ok(StartupVerdict::HangUp(answer));
        assert_eq!(
            error("57P03"),
            hang_up(ProbeResult::Pending("what went wrong (57P03)".into()))
        );
        for state in ["28000", "3D000"] {
            let said = format!("up, but refuses: what went wrong ({state})");
            assert_eq!(error(state), hang_up(ProbeResult::Impossible(said)));
        }
        assert!(matches!(
            error("53300"),
            Ok(StartupVerdict::HangUp(ProbeResult::Pending(_)))
        ));
    }

    #[test]
    fn password_request_passes_and_login_goes_on() {
        assert_eq!(judge(b'R', &[0, 0, 0, 0]), Ok(StartupVerdict::GoOn));
        assert!(matches!(
            judge(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"),
            Ok(StartupVerdict::HangUp(ProbeResult::Passed(_)))
        ));
        assert!(matches!(
            judge(b'Z', b"I"),
            Ok(StartupVerdict::Leave(ProbeResult::Passed(_)))
        ));
        assert_eq!(judge(b'R', &[0]), Err(WRONG_PROTOCOL));
        assert_eq!(judge(b'H', b"TTP/1.1"), Err(WRONG_PROTOCOL));
    }
}
