//! HTTP and HTTPS probes.

use std::collections::BTreeMap;

use cimandat::{
    engine::{ProbeResult, probe},
    project::{Method, Probe, StatusSet, Tls},
    secret::Text,
};
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header::{HOST, LOCATION},
};
use tokio::io::AsyncWriteExt;

use super::{
    LOOPBACK, PATIENCE, ask, blotted, never, not_yet, ready,
    servers::{self, Certificate, Version},
};

pub fn probe(port: u16, path: &str) -> Probe {
    Probe::Http {
        port,
        path: path.to_owned(),
        method: Method::Get,
        status: StatusSet::default(),
        headers: BTreeMap::new(),
        contains: None,
        tls: None,
    }
}

pub fn probe_tls(port: u16, trust: Tls) -> Probe {
    with(probe(port, "/health"), |probe| {
        if let Probe::Http { tls, .. } = probe {
            *tls = Some(trust);
        }
    })
}

fn with(mut probe: Probe, change: impl FnOnce(&mut Probe)) -> Probe {
    change(&mut probe);
    probe
}

fn containing(port: u16, path: &str, text: &str) -> Probe {
    with(probe(port, path), |probe| {
        if let Probe::Http { contains, .. } = probe {
            *contains = Some(text.to_owned());
        }
    })
}

fn with_headers(port: u16, path: &str, given: &[(&str, Text)]) -> Probe {
    with(probe(port, path), |probe| {
        if let Probe::Http { headers, .. } = probe {
            headers.extend(
                given
                    .iter()
                    .map(|(name, text)| ((*name).to_owned(), text.clone())),
            );
        }
    })
}

/// An application with a health page, redirects, a login and a page that never ends.
async fn application(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let host = request.headers()[HOST].to_str().unwrap_or_default();
    let to = |status: u16, location: String| {
        let response = Response::builder()
            .status(status)
            .header(LOCATION, location);
        response.body(Full::default())
    };
    let page = |status: u16, body: String| {
        let response = Response::builder().status(status);
        response.body(Full::from(body))
    };
    let response = match request.uri().path() {
        "/health" => page(200, format!("<title>CI-Mandat</title> on {host}")),
        "/starting" => page(503, String::new()),
        "/large" => page(200, format!("{}needle", "x".repeat((1 << 20) - 6))),
        "/larger" => page(200, format!("{}needle", "x".repeat(1 << 20))),
        "/here" => to(302, "/health".to_owned()),
        "/absolute" => to(301, format!("http://{host}/health")),
        "/elsewhere" => to(302, "https://login.example/?token=hunter2".to_owned()),
        "/round" => to(307, "/round".to_owned()),
        "/secure" => to(301, format!("https://{LOOPBACK}/")),
        "/by-name" if host != "shop.example" => {
            let body = "Blocked request.\nThis host is not allowed: ".to_owned() + host;
            page(403, body)
        }
        "/unwell" => page(503, r#"{"status": "no database"}"#.to_owned()),
        "/echo" => page(400, format!("{:?} {}", request.headers(), request.uri())),
        "/posted" if request.method() == "POST" => to(303, "/posted".to_owned()),
        "/by-name" | "/posted" => page(200, String::new()),
        "/login" if request.headers().get("authorization").is_some() => page(200, String::new()),
        "/login" => page(401, String::new()),
        _ => page(404, String::new()),
    };
    response.expect("a response")
}

async fn start(certificate: Option<&Certificate>) -> u16 {
    servers::web(Version::Http1, certificate, application).await
}

#[tokio::test]
async fn http_probe_compares_status_with_accepted_set() {
    let port = start(None).await;
    let check = async |path: &str, expected: ProbeResult| {
        assert_eq!(ask(&probe(port, path)).await, expected, "{path}");
    };
    check("/health", ready("200 in N ms")).await;
    check("/health?deep=1", ready("200 in N ms")).await;
    check("/starting", not_yet("503 Service Unavailable")).await;
    check("/none", not_yet("404 Not Found")).await;
    check("no path", never("`no path` is not a valid request path")).await;
    let accepted = with(probe(port, "/none"), |probe| {
        if let Probe::Http { status, method, .. } = probe {
            *status = StatusSet(vec![(200, 299), (404, 404)]);
            *method = Method::Head;
        }
    });
    assert_eq!(ask(&accepted).await, ready("404 in N ms"));
}

#[tokio::test]
async fn http_probe_follows_redirects_on_same_host_only() {
    let port = start(None).await;
    let check = async |path: &str, expected: ProbeResult| {
        assert_eq!(ask(&probe(port, path)).await, expected, "{path}");
    };
    check("/here", ready("200 in N ms")).await;
    check("/absolute", ready("200 in N ms")).await;
    check(
        "/elsewhere",
        not_yet(
            "302 Found to `https://login.example/`; accept it with `status=302`, or ask by a name \
             with `header Host=\"login.example\"`",
        ),
    )
    .await;
    check(
        "/round",
        not_yet("307 Temporary Redirect to `/round`; accept it with `status=307`"),
    )
    .await;
    check(
        "/secure",
        not_yet(&format!(
            "301 Moved Permanently to `https://{LOOPBACK}/`; accept it with `status=301`"
        )),
    )
    .await;
    let posted = with(probe(port, "/posted"), |probe| {
        if let Probe::Http { method, .. } = probe {
            *method = Method::Post;
        }
    });
    assert_eq!(ask(&posted).await, ready("200 in N ms"));
    let expected = with(probe(port, "/elsewhere"), |probe| {
        if let Probe::Http { status, .. } = probe {
            *status = StatusSet(vec![(302, 302)]);
        }
    });
    assert_eq!(ask(&expected).await, ready("302 in N ms"));
}

#[tokio::test]
async fn unexpected_status_shows_body_and_hint() {
    let port = start(None).await;
    let check = async |probe: Probe, expected: ProbeResult| {
        assert_eq!(ask(&probe).await, expected);
    };
    let body = format!("Blocked request. This host is not allowed: {LOOPBACK}:{port}");
    let hint = "accept it with `status=403`";
    check(
        probe(port, "/by-name"),
        not_yet(&format!(
            "403 Forbidden, `{body}`; {hint}, or ask by a name with `header Host=\"NAME\"`"
        )),
    )
    .await;
    let named = |host: &str| with_headers(port, "/by-name", &[("Host", host.into())]);
    check(named("shop.example"), ready("200 in N ms")).await;
    let body = "Blocked request. This host is not allowed: other.example";
    check(
        named("other.example"),
        not_yet(&format!("403 Forbidden, `{body}`; {hint}")),
    )
    .await;
    check(
        probe(port, "/unwell"),
        not_yet(r#"503 Service Unavailable, `{"status": "no database"}`"#),
    )
    .await;
}

#[tokio::test]
async fn body_is_hidden_when_request_had_secrets() {
    let port = start(None).await;
    let token = Text::sealed("Bearer ${secret:t}".into(), "Bearer hunter2".into());
    let sealed = with_headers(port, "/echo", &[("Authorization", token)]);
    for probe in [sealed, probe(port, "/echo?token=hunter2")] {
        let answer = ask(&probe).await;
        let ProbeResult::Pending(said) = answer else {
            panic!("{answer:?}");
        };
        assert!(said.starts_with("400 Bad Request; "), "{said}");
    }
    let ProbeResult::Pending(said) = ask(&probe(port, "/echo")).await else {
        panic!("it passed");
    };
    assert!(said.contains("\"user-agent\": \"cimandat\""), "{said}");
}

/// A server that sends the head of an answer and then nothing, and keeps the connection open.
#[tokio::test]
async fn missing_body_does_not_delay_the_answer() {
    let listener = tokio::net::TcpListener::bind((LOOPBACK, 0))
        .await
        .expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nNot";
        stream.write_all(head).await.expect("to be read");
        std::future::pending::<()>().await;
    });
    let ProbeResult::Pending(said) = ask(&probe(port, "/")).await else {
        panic!("it passed");
    };
    assert!(said.starts_with("403 Forbidden, `Not`; "), "{said}");
}

#[tokio::test]
async fn http_probe_searches_body_up_to_limit() {
    let port = start(None).await;
    let check = async |path: &str, text: &str, expected: ProbeResult| {
        assert_eq!(ask(&containing(port, path, text)).await, expected, "{path}");
    };
    check("/health", "CI-Mandat", ready("200 in N ms")).await;
    let lacking = not_yet("200 but the body lacks `Mandat-CI`");
    check("/health", "Mandat-CI", lacking).await;
    check("/large", "needle", ready("200 in N ms")).await;
    check(
        "/larger",
        "needle",
        not_yet("200 but the body lacks `needle`"),
    )
    .await;
}

#[tokio::test]
async fn http_probe_sends_headers_and_tolerates_lost_secret() {
    let port = start(None).await;
    let host = with_headers(port, "/health", &[("Host", "shop.example".into())]);
    let host = with(host, |probe| {
        if let Probe::Http { contains, .. } = probe {
            *contains = Some("on shop.example".to_owned());
        }
    });
    assert_eq!(ask(&host).await, ready("200 in N ms"));
    let token = Text::sealed("Bearer ${secret:t}".into(), "Bearer hunter2".into());
    let login = |token| with_headers(port, "/login", &[("Authorization", token)]);
    assert_eq!(
        ask(&probe(port, "/login")).await,
        not_yet("401 Unauthorized; accept it with `status=401`")
    );
    assert_eq!(ask(&login(token.clone())).await, ready("200 in N ms"));
    let record = serde_json::to_string(&token).expect("a record");
    let lost = serde_json::from_str(&record).expect("its text");
    let expected = ready("up, asks for credentials (401 in N ms)");
    assert_eq!(ask(&login(lost)).await, expected);
    let expected = never("the value of the header `Authorization` cannot be sent");
    assert_eq!(ask(&login("a\nb".into())).await, expected);
}

#[tokio::test]
async fn https_probe_verifies_certificate_as_configured() {
    let certificate = Certificate::of("shop");
    let port = start(Some(&certificate)).await;
    let verify = |authority: &str, host: &str| {
        let (authority, host) = (authority.to_owned(), host.to_owned());
        probe_tls(port, Tls::Verify { authority, host })
    };
    let check = async |probe: Probe, expected: ProbeResult| {
        assert_eq!(ask(&probe).await, expected);
    };
    check(probe_tls(port, Tls::Require), ready("200 in N ms")).await;
    check(verify(&certificate.authority, "shop"), ready("200 in N ms")).await;
    let another = not_yet("TLS: the certificate is not for `bank`");
    check(verify(&certificate.authority, "bank"), another).await;
    let unsigned = not_yet("TLS: the certificate is not signed by a trusted authority");
    check(verify(&Certificate::of("shop").authority, "shop"), unsigned).await;
    let unusable = never("the authority holds no certificate in PEM");
    check(verify("", "shop"), unusable).await;
    check(
        probe(port, "/"),
        not_yet("something answers, but it is not HTTP/1.1"),
    )
    .await;
}

#[tokio::test]
async fn address_check_resolves_host_names() {
    let port = start(None).await;
    let certificate = Certificate::of("localhost");
    let secure = start(Some(&certificate)).await;
    let check = async |url: &str, expected: ProbeResult| {
        let any = StatusSet::default();
        let answer = probe::check_http(url, &any, Some("CI-Mandat"), PATIENCE).await;
        assert_eq!(blotted(answer), expected, "{url}");
    };
    check(
        &format!("http://localhost:{port}/health"),
        ready("200 in N ms"),
    )
    .await;
    check(
        &format!("http://{LOOPBACK}:{port}/here#top"),
        ready("200 in N ms"),
    )
    .await;
    check(
        &format!("http://localhost:{port}"),
        not_yet("404 Not Found"),
    )
    .await;
    let stranger = not_yet("TLS: the certificate is not signed by a trusted authority");
    check(&format!("https://localhost:{secure}/health"), stranger).await;
    let mistaken = never("the address is none of `http://` or `https://`");
    check("ftp://localhost/", mistaken.clone()).await;
    check("localhost/health", mistaken).await;
    let unknown = not_yet("the name `no-such-host.invalid` cannot be looked up");
    check("http://no-such-host.invalid/", unknown).await;
}
