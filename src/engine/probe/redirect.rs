//! Redirects: where does a `Location` lead, and is that still the server that was asked?
//!
//! Pure; following is the business of `http`.

use hyper::Uri;

/// The path that a location leads to, seen from `path` of `scheme://authority`; `None` when it
/// leads to another origin or makes no sense.
pub fn within(scheme: &str, authority: &str, path: &str, location: &str) -> Option<String> {
    let location = location.split('#').next().unwrap_or(location);
    let absolute = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.split(['/', '?']).next()?.ends_with(':') {
        location.to_owned()
    } else {
        return relative(path, location);
    };
    let target: Uri = absolute.parse().ok()?;
    let own: Uri = format!("{scheme}://{authority}/").parse().ok()?;
    (origin(&target)? == origin(&own)?).then(|| match target.path_and_query() {
        Some(path) => path.to_string(),
        None => "/".to_owned(),
    })
}

/// A location as it may be shown: its query often holds a token, and says nothing of readiness.
pub fn shown(location: &str) -> &str {
    location.split(['?', '#']).next().unwrap_or(location)
}

/// The host that an absolute location names, with its port if it names one.
pub fn authority(location: &str) -> Option<&str> {
    let (scheme, rest) = location.split_once("//")?;
    if !matches!(
        scheme.to_ascii_lowercase().as_str(),
        "" | "http:" | "https:"
    ) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(is_plain)).then_some(host)
}

fn relative(path: &str, location: &str) -> Option<String> {
    let base = shown(path);
    Some(match location.chars().next()? {
        '/' => location.to_owned(),
        '?' => format!("{base}{location}"),
        _ => {
            let folder = base.rfind('/').map_or("/", |end| &base[..=end]);
            format!("{folder}{location}")
        }
    })
}

fn origin(uri: &Uri) -> Option<(String, String, u16)> {
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let standard = if scheme == "https" { 443 } else { 80 };
    let host = uri.host()?.to_ascii_lowercase();
    Some((scheme, host, uri.port_u16().unwrap_or(standard)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(location: &str, expected: Option<&str>) {
        let path = within("http", "Shop:3000", "/api/health?x=1", location);
        assert_eq!(path.as_deref(), expected, "{location}");
    }

    #[test]
    fn a_redirect_stays_at_its_origin() {
        check("/login", Some("/login"));
        check(
            "/login?next=http://other/#top",
            Some("/login?next=http://other/"),
        );
        check("ready", Some("/api/ready"));
        check("?y=2", Some("/api/health?y=2"));
        check("http://shop:3000/login?a", Some("/login?a"));
        check("//shop:3000", Some("/"));
    }

    #[test]
    fn a_redirect_to_elsewhere_is_not_followed() {
        for location in [
            "https://shop:3000/",
            "http://shop/",
            "http://shop:3000@other/",
            "//other:3000/",
            "http://other:3000/",
            "#top",
            "",
        ] {
            check(location, None);
        }
    }

    #[test]
    fn a_port_of_the_scheme_goes_without_saying() {
        let path = within("https", "shop", "/", "https://shop:443/x");
        assert_eq!(path.as_deref(), Some("/x"));
    }

    #[test]
    fn host_of_an_absolute_location_is_found() {
        let check = |location: &str, expected: Option<&str>| {
            assert_eq!(authority(location), expected, "{location}");
        };
        check("https://shop.example/x?y", Some("shop.example"));
        check("//shop.example:8443", Some("shop.example:8443"));
        check("http://user@shop.example?x", Some("shop.example"));
        check("/login?next=http://other/", None);
        check("login", None);
        check("http://a\"b/", None);
    }

    #[test]
    fn a_query_is_not_shown() {
        assert_eq!(shown("https://id/login?token=1"), "https://id/login");
    }
}
