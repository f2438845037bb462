//! gRPC: probes the health service (`grpc.health.v1.Health/Check`) for `SERVING`.
//!
//! Makes one unary call over HTTP/2. The two one-field messages are encoded manually.

use std::pin::pin;

use bytes::{Buf, Bytes};
use futures::future::{Either, select};
use h2::{RecvStream, client};
use hyper::{HeaderMap, Request, header};

use super::{
    super::ProbeResult,
    error::ProbeError,
    tcp::Connection,
    tls::{self, Alpn, Stream, TlsMode},
};

/// The error for a server that does not speak the protocol.
const WRONG_PROTOCOL: ProbeError = ProbeError::WrongProtocol("gRPC");
/// Longest reply that is read, in bytes; the real one has seven.
const LONGEST: usize = 1 << 12;
/// Status code for a method that the server does not implement (gRPC, "Status codes").
const UNIMPLEMENTED: &str = "12";

/// Passes if the service, or the whole server if `service` is empty, is `SERVING`.
pub async fn ask(
    line: &Connection,
    service: &str,
    wrap: TlsMode<'_>,
) -> Result<ProbeResult, ProbeError> {
    let stream = line.connect().await?;
    line.hear(async {
        let stream = tls::wrap(stream, wrap, &line.host(), Alpn::Http2).await?;
        let (scheme, authority) = match wrap {
            TlsMode::Plain => ("http", line.authority()),
            TlsMode::Signed { host, .. } => ("https", host.to_owned()),
            TlsMode::Anyone | TlsMode::Public => ("https", line.authority()),
        };
        let uri = format!("{scheme}://{authority}/grpc.health.v1.Health/Check");
        let request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .header(header::USER_AGENT, "cimandat")
            .body(())
            .map_err(|error| ProbeError::Mistaken(error.to_string()))?;
        // Boxed, as the state of an HTTP/2 connection is large.
        let reply = Box::pin(call(stream, request, framed(service)))
            .await
            .map_err(|error| trouble(&error))?;
        judge(&reply)
    })
    .await
}

/// The parts of a response.
#[derive(Debug, Default)]
struct Reply {
    /// HTTP status.
    status: u16,
    /// `grpc-status` and `grpc-message`, from the headers or the trailers.
    code: String,
    message: String,
    body: Vec<u8>,
}

async fn call(stream: Stream, request: Request<()>, message: Bytes) -> Result<Reply, h2::Error> {
    let (sender, connection) = client::handshake(stream).await?;
    let talk = pin!(async move {
        let mut sender = sender.ready().await?;
        let (response, mut body) = sender.send_request(request, false)?;
        body.send_data(message, true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut reply = Reply {
            status: head.status.as_u16(),
            body: collect(&mut body).await?,
            ..Reply::default()
        };
        // A call that failed at once has its status in the headers. All others have it in the
        // trailers.
        let trailers = body.trailers().await?.unwrap_or_default();
        for part in [&head.headers, &trailers] {
            take(part, "grpc-status", &mut reply.code);
            take(part, "grpc-message", &mut reply.message);
        }
        Ok(reply)
    });
    // The connection future moves the bytes while `talk` waits for them. If the connection breaks,
    // `talk` gets the error too.
    match select(talk, pin!(connection)).await {
        Either::Left((reply, _)) => reply,
        Either::Right((_, talk)) => talk.await,
    }
}

async fn collect(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut seen = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        if seen.len() + data.len() <= LONGEST {
            seen.extend_from_slice(&data);
        }
    }
    Ok(seen)
}

fn take(headers: &HeaderMap, name: &str, into: &mut String) {
    if let Some(value) = headers.get(name) {
        *into = String::from_utf8_lossy(value.as_bytes()).into_owned();
    }
}

fn judge(reply: &Reply) -> Result<ProbeResult, ProbeError> {
    match reply.code.as_str() {
        "0" => {}
        "" if reply.status == 200 => return Err(WRONG_PROTOCOL),
        "" => {
            return Ok(ProbeResult::Pending(format!(
                "HTTP status {}",
                reply.status
            )));
        }
        UNIMPLEMENTED => {
            return Ok(ProbeResult::Impossible(
                "up, but has no health service".to_owned(),
            ));
        }
        code => {
            return Ok(ProbeResult::Pending(match reply.message.as_str() {
                "" => format!("gRPC status {code}"),
                message => format!("gRPC status {code}: {}", decoded(message)),
            }));
        }
    }
    Ok(match serving(&reply.body).ok_or(WRONG_PROTOCOL)? {
        1 => ProbeResult::Passed("SERVING".to_owned()),
        2 => ProbeResult::Pending("NOT_SERVING".to_owned()),
        3 => ProbeResult::Pending("SERVICE_UNKNOWN".to_owned()),
        _ => ProbeResult::Pending("UNKNOWN".to_owned()),
    })
}

/// Decodes a `grpc-message` header: each byte that is not plain ASCII is encoded as `%` and two
/// hexadecimal digits. Everything else is kept as it is.
fn decoded(message: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = message.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|two| str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Encodes a `HealthCheckRequest` (field 1: the service name) with the prefix of a gRPC message:
/// not compressed, four bytes of length.
fn framed(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | 2);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(length.to_le_bytes()[0] | 0x80);
            length >>= 7;
        }
        message.push(length.to_le_bytes()[0]);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut framed = vec![0];
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}

/// Decodes the `status` of a `HealthCheckResponse` (field 1, a number; 0 if absent). `None` if the
/// body is not such a message.
fn serving(mut body: &[u8]) -> Option<u64> {
    if body.try_get_u8().ok()? != 0 {
        return None;
    }
    let length = usize::try_from(body.try_get_u32().ok()?).ok()?;
    let mut message = body.get(..length)?;
    let mut status = 0;
    while message.has_remaining() {
        let tag = number(&mut message)?;
        match tag & 7 {
            0 => {
                let value = number(&mut message)?;
                if tag >> 3 == 1 {
                    status = value;
                }
            }
            // Fields of a later version, either length-delimited or of a fixed length.
            kind => {
                let length = match kind {
                    1 => 8,
                    2 => usize::try_from(number(&mut message)?).ok()?,
                    5 => 4,
                    _ => return None,
                };
                message = message.get(length..)?;
            }
        }
    }
    Some(status)
}

/// Decodes a varint: groups of seven bits, the lowest first.
fn number(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = message.try_get_u8().ok()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn trouble(error: &h2::Error) -> ProbeError {
    match error.get_io() {
        Some(error) => error.into(),
        None if error.is_remote() => ProbeError::Closed,
        None => WRONG_PROTOCOL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_encodes_service_name() {
        assert_eq!(&framed("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&framed("shop")[..], b"\0\0\0\0\x06\x0a\x04shop");
        assert_eq!(&framed(&"s".repeat(200))[5..8], [0x0a, 0xc8, 0x01]);
    }

    #[test]
    fn response_with_unknown_fields_is_decoded() {
        assert_eq!(serving(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(serving(b"\0\0\0\0\x07\x12\x03abc\x08\x02"), Some(2));
        assert_eq!(serving(&[1, 0, 0, 0, 2, 8, 1]), None);
        assert_eq!(serving(&[0, 0, 0, 0, 9, 8, 1]), None);
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 0xff]), None);
    }

    #[test]
    fn status_message_is_percent_decoded() {
        assert_eq!(decoded("not%20yet%3A 5%"), "not yet: 5%");
        assert_eq!(decoded("%C3%A4%zz%2"), "ä%zz%2");
    }

    #[test]
    fn failed_call_is_judged_by_status() {
        let reply = |status, code: &str, message: &str| Reply {
            status,
            code: code.into(),
            message: message.into(),
            body: vec![],
        };
        let not_yet = |text: &str| Ok(ProbeResult::Pending(text.into()));
        assert!(matches!(
            judge(&reply(200, "12", "")),
            Ok(ProbeResult::Impossible(_))
        ));
        assert_eq!(
            judge(&reply(200, "14", "later")),
            not_yet("gRPC status 14: later")
        );
        assert_eq!(judge(&reply(502, "", "")), not_yet("HTTP status 502"));
        assert_eq!(judge(&reply(200, "", "")), Err(WRONG_PROTOCOL));
        assert_eq!(judge(&reply(200, "0", "")), Err(WRONG_PROTOCOL));
    }
}
