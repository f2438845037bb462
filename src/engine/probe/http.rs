//! HTTP/1.1: sends a request and checks the response.
//!
//! Follows redirects within the same origin only. A redirect to another origin is itself the
//! answer. Reads no more of a body than necessary, and reuses no connection.

use std::{collections::BTreeMap, error::Error, io, net::SocketAddr, pin::pin, time::Duration};

use futures::future::{Either, select};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Method, Request, StatusCode, Uri,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{
    super::ProbeResult,
    error::ProbeError,
    redirect,
    tcp::Connection,
    tls::{self, Alpn, Stream, TlsMode},
};
use crate::{
    project::{self, Probe, StatusSet},
    secret::Text,
};

/// Maximum number of redirects that are followed.
const REDIRECTS: usize = 5;
/// Maximum size of a body that is searched, in bytes.
const SEARCHED: usize = 1 << 20;
/// Maximum length of the body of an unexpected response that is reported, in bytes.
const REPEATED: usize = 200;
/// Timeout for reading that body.
const BODY_PATIENCE: Duration = Duration::from_millis(100);

/// A request and the expected response.
#[derive(Debug)]
pub struct HttpRequest<'a> {
    /// The `Host` header: with the port, unless it is the default port of the scheme.
    authority: String,
    path: String,
    method: Method,
    headers: &'a BTreeMap<String, Text>,
    status: &'a StatusSet,
    contains: Option<&'a str>,
    wrap: TlsMode<'a>,
    /// Whether the authority is a host name, instead of the address of a container.
    named: bool,
}

impl<'a> HttpRequest<'a> {
    /// Creates the request of an HTTP probe for an address; `None` for other probes.
    pub fn of(probe: &'a Probe, address: SocketAddr, wrap: TlsMode<'a>) -> Option<Self> {
        let Probe::Http {
            path,
            method,
            status,
            headers,
            contains,
            ..
        } = probe
        else {
            return None;
        };
        let host = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("host"))
            .and_then(|(_, value)| value.expose());
        Some(Self {
            authority: host.map_or_else(|| address.to_string(), str::to_owned),
            path: path.clone(),
            method: match method {
                project::Method::Get => Method::GET,
                project::Method::Head => Method::HEAD,
                project::Method::Post => Method::POST,
                project::Method::Options => Method::OPTIONS,
            },
            headers,
            status,
            contains: contains.as_deref(),
            wrap,
            named: host.is_some(),
        })
    }

    fn scheme(&self) -> &'static str {
        match self.wrap {
            TlsMode::Plain => "http",
            _ => "https",
        }
    }

    /// The host without the port, as a certificate would name it.
    fn host(&self) -> &str {
        host_of(&self.authority)
    }

    fn request(&self, method: Method, path: &str) -> Result<Request<Empty<Bytes>>, ProbeError> {
        let uri: Uri = path
            .parse()
            .map_err(|_| ProbeError::Mistaken(format!("`{path}` is not a valid request path")))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("cimandat"));
        headers.insert(header::HOST, value("host", &self.authority)?);
        if method == Method::POST {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        for (name, text) in self.headers {
            // A value of which only the digest is known cannot be sent; see `verdict`.
            if let Some(text) = text.expose() {
                let bytes = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                    ProbeError::Mistaken(format!("`{name}` is not a valid header name"))
                })?;
                headers.insert(bytes, value(name, text)?);
            }
        }
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Judges a response that is not a redirect to follow.
    fn verdict(&self, reply: &Reply, took: Duration) -> ProbeResult {
        let code = reply.status.as_u16();
        let took = took.as_millis();
        let lost = || self.headers.values().any(|text| text.expose().is_none());
        if !self.status.contains(code) {
            // In a rollback to an older generation, only the digest of a secret may be known. A
            // server that demands the secret is up, like a database that asks for a password.
            if matches!(code, 401 | 403) && lost() {
                return ProbeResult::Passed(format!(
                    "up, asks for credentials ({code} in {took} ms)"
                ));
            }
            return ProbeResult::Pending(self.unwanted(reply));
        }
        match self.contains {
            Some(text) if !reply.holds => {
                ProbeResult::Pending(format!("{code} but the body lacks `{text}`"))
            }
            _ => ProbeResult::Passed(format!("{code} in {took} ms")),
        }
    }

    /// Describes a status that is not in the set, with the reason that the server gives and the
    /// setting that would accept it.
    fn unwanted(&self, reply: &Reply) -> String {
        let status = reply.status.to_string();
        let status = status.trim_end_matches(" <unknown status code>");
        let more = match (&reply.location, &reply.body) {
            (Some(location), _) => format!(" to `{}`", redirect::shown(location)),
            (None, Some(body)) => format!(", `{body}`"),
            (None, None) => String::new(),
        };
        let code = reply.status.as_u16();
        let accepted = match code {
            300..=399 | 400 | 401 | 403 | 421 => format!("; accept it with `status={code}`"),
            _ => String::new(),
        };
        let by_name = self.wanted_host(reply).map_or_else(String::new, |host| {
            format!(", or ask by a name with `header Host=\"{host}\"`")
        });
        format!("{status}{more}{accepted}{by_name}")
    }

    /// The host name that the server may expect, if the request was made by address.
    fn wanted_host<'r>(&self, reply: &'r Reply) -> Option<&'r str> {
        if self.named {
            return None;
        }
        let code = reply.status.as_u16();
        match &reply.location {
            Some(location) if reply.status.is_redirection() => {
                redirect::authority(location).filter(|other| host_of(other) != self.host())
            }
            // These statuses do not name a host that the server would accept.
            _ => matches!(code, 400 | 403 | 421).then_some("NAME"),
        }
    }

    /// Whether the body of a response may be reported. A body could echo what was sent.
    fn keeps_no_secret(&self) -> bool {
        let sealed = |text: &Text| matches!(text, Text::Sealed { .. });
        !self.path.contains('?') && !self.headers.values().any(sealed)
    }
}

fn host_of(authority: &str) -> &str {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    host.trim_start_matches('[').trim_end_matches(']')
}

fn value(name: &str, text: &str) -> Result<HeaderValue, ProbeError> {
    HeaderValue::from_str(text).map_err(|_| {
        ProbeError::Mistaken(format!("the value of the header `{name}` cannot be sent"))
    })
}

/// Passes if the status is in the set and the body contains the text.
pub async fn ask(line: &Connection, question: &HttpRequest<'_>) -> Result<ProbeResult, ProbeError> {
    let mut path = question.path.clone();
    let mut method = question.method.clone();
    let mut followed = 0;
    loop {
        let request = question.request(method.clone(), &path)?;
        let reply = fetch(line, question, request).await?;
        let onward = (reply.status.is_redirection()
            && !question.status.contains(reply.status.as_u16())
            && followed < REDIRECTS)
            .then_some(reply.location.as_deref())
            .flatten()
            .and_then(|to| redirect::within(question.scheme(), &question.authority, &path, to));
        let Some(onward) = onward else {
            return Ok(question.verdict(&reply, line.took()));
        };
        if method == Method::POST && matches!(reply.status.as_u16(), 301..=303) {
            method = Method::GET;
        }
        path = onward;
        followed += 1;
    }
}

/// Implements [`super::check_http`].
pub async fn check(
    url: &str,
    status: &StatusSet,
    contains: Option<&str>,
    patience: Duration,
) -> Result<ProbeResult, ProbeError> {
    // The error does not repeat the address, because it may contain a token.
    let mistaken = || ProbeError::Mistaken("the address is none of `http://` or `https://`".into());
    let uri: Uri = url.parse().map_err(|_| mistaken())?;
    let (wrap, standard) = match uri.scheme_str() {
        Some("http") => (TlsMode::Plain, 80),
        Some("https") => (TlsMode::Public, 443),
        _ => return Err(mistaken()),
    };
    let host = uri.host().ok_or_else(mistaken)?;
    let port = uri.port_u16().unwrap_or(standard);
    let question = HttpRequest {
        authority: match port {
            port if port == standard => host.to_owned(),
            port => format!("{host}:{port}"),
        },
        path: uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned(),
        method: Method::GET,
        headers: &BTreeMap::new(),
        status,
        contains,
        wrap,
        named: true,
    };
    let line = Connection::by_name(question.host(), port, patience).await?;
    ask(&line, &question).await
}

/// The parts of a response.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    location: Option<String>,
    /// Whether the body contains the expected text.
    holds: bool,
    /// The beginning of the body, if the response is unexpected.
    body: Option<String>,
}

async fn fetch(
    line: &Connection,
    question: &HttpRequest<'_>,
    request: Request<Empty<Bytes>>,
) -> Result<Reply, ProbeError> {
    let stream = line.connect().await?;
    line.hear(async {
        let stream = tls::wrap(stream, question.wrap, question.host(), Alpn::Http1).await?;
        exchange(stream, request, question)
            .await
            .map_err(|error| trouble(&error))
    })
    .await
}

async fn exchange(
    stream: Stream,
    request: Request<Empty<Bytes>>,
    question: &HttpRequest<'_>,
) -> hyper::Result<Reply> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let talk = pin!(async move {
        let response = sender.send_request(request).await?;
        let location = response.headers().get(header::LOCATION);
        let mut reply = Reply {
            status: response.status(),
            location: location.map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned()),
            holds: false,
            body: None,
        };
        if question.status.contains(reply.status.as_u16()) {
            if let Some(text) = question.contains {
                reply.holds = holds(response.into_body(), text).await?;
            }
        } else if question.keeps_no_secret() {
            reply.body = beginning(response.into_body()).await;
        }
        Ok(reply)
    });
    // The connection future moves the bytes while `talk` waits for them. It completes before `talk`
    // when the whole response has arrived.
    match select(talk, pin!(connection)).await {
        Either::Left((reply, _)) => reply,
        Either::Right((_, talk)) => talk.await,
    }
}

/// Reads the beginning of a body as one line. Data that does not arrive at once is not awaited.
async fn beginning(mut body: Incoming) -> Option<String> {
    let mut seen = Vec::new();
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            seen.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
            if seen.len() >= REPEATED {
                break;
            }
        }
    };
    // Whether the read completed or timed out: the data that has arrived is reported.
    let _ = timeout(BODY_PATIENCE, read).await;
    one_line(&seen)
}

/// The beginning of a text as one line; `None` if it is empty or not text.
fn one_line(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.get(..REPEATED).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    // A character that was cut in two does not mean that the body is binary.
    let text = text.trim_end_matches('\u{fffd}');
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let is_text = !line.contains(|found: char| found == '\u{fffd}' || found.is_control());
    let more = if bytes.len() == REPEATED { "…" } else { "" };
    (is_text && !line.is_empty()).then(|| format!("{}{more}", line.replace('`', "'")))
}

/// Whether a body contains a text. Returns as soon as the text has arrived.
async fn holds(mut body: Incoming, text: &str) -> hyper::Result<bool> {
    let text = text.as_bytes();
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        // The text may have begun in the previous frame.
        let from = seen.len().saturating_sub(text.len());
        let room = SEARCHED - seen.len();
        seen.extend_from_slice(data.get(..room).unwrap_or(data));
        if find(&seen[from..], text) {
            return Ok(true);
        }
        if seen.len() == SEARCHED {
            break;
        }
    }
    Ok(text.is_empty())
}

fn find(within: &[u8], text: &[u8]) -> bool {
    text.is_empty() || within.windows(text.len()).any(|part| part == text)
}

fn trouble(error: &hyper::Error) -> ProbeError {
    if error.is_parse() {
        return ProbeError::WrongProtocol("HTTP/1.1");
    }
    match error
        .source()
        .and_then(|cause| cause.downcast_ref::<io::Error>())
    {
        Some(error) => error.into(),
        None => ProbeError::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_excerpt_is_one_line_of_text() {
        let check = |body: &[u8], expected: Option<&str>| {
            assert_eq!(one_line(body).as_deref(), expected);
        };
        check(b"Blocked.\r\n\tUse `x`.\n", Some("Blocked. Use 'x'."));
        check(b" \n", None);
        check(b"\x1f\x8b\x08\x00\xff", None);
        check(b"a\x1b[2Jb", None);
        // The text is cut in the middle of a character.
        let long = format!("x{}", "\u{e4}".repeat(REPEATED));
        let shown = format!("x{}…", "\u{e4}".repeat(REPEATED / 2 - 1));
        check(long.as_bytes(), Some(&shown));
    }
}
