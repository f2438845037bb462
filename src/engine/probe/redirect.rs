//! Redirects: resolves a `Location` and checks that it has the same origin.
//!
//! The functions are pure. `http` follows the redirects.

use hyper::Uri;

/// Resolves a location relative to `path` of `scheme://authority`. Returns the path; `None` if the
/// location has another origin or is invalid.
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

/// A location without its query, for messages. A query often contains a token, and says nothing
/// about readiness.
pub fn shown(location: &str) -> &str {
    location.split(['?', '#']).next().unwrap_or(location)
}

/// The host that an absolute location names, with its port if it has one.
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
    fn redirect_within_origin_is_followed() {
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
    fn redirect_to_other_origin_is_not_followed() {
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
    fn redirect_with_default_port_has_same_origin() {
        let path = within("https", "shop", "/", "https://shop:443/x");
        assert_eq!(path.as_deref(), Some("/x"));
    }

    #[test]
    fn authority_of_absolute_location_is_found() {
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
    fn shown_location_omits_query() {
        assert_eq!(shown("https://id/login?token=1"), "https://id/login");
    }
}
