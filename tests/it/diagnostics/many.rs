//! Several errors at once: all are reported, in source order, across files.

use super::{check_files, load_files};

const MAIN: &str = r#"include "data.kdl"
service "web" {
    image "nginx"
    port 8080
    depends_on "db"
    limit memory=512
}
"#;

const DATA: &str = r#"service "db" {
    image "postgres"
    restart "sometimes"
    port 8080
}
"#;

#[test]
fn errors_of_two_files_are_in_source_order() {
    check_files(
        &[("cimandat.kdl", MAIN), ("data.kdl", DATA)],
        r#"
manifest::unknown_node

  × there is no node `depends_on` in a service
   ╭─[cimandat.kdl:5:5]
 4 │     port 8080
 5 │     depends_on "db"
   ·     ─────┬────
   ·          ╰── unknown node
 6 │     limit memory=512
   ╰────
  help: did you mean `depends-on`?

manifest::unit

  × `512` has no unit
   ╭─[cimandat.kdl:6:18]
 5 │     depends_on "db"
 6 │     limit memory=512
   ·                  ─┬─
   ·                   ╰── a size needed
 7 │ }
   ╰────
  help: write the unit too, such as `"512MiB"`; units are `B`, `KiB`, `MiB`,
        `GiB`, `TiB` (also `k`, `m`, `g`, `t`)

manifest::unknown_value

  × `restart` cannot be `sometimes`
   ╭─[data.kdl:3:13]
 2 │     image "postgres"
 3 │     restart "sometimes"
   ·             ─────┬─────
   ·                  ╰── unknown value
 4 │     port 8080
   ╰────
  help: one of `no`, `always`, `unless-stopped`, `on-failure`

manifest::port_clash

  × port 8080/tcp of this host is published twice, by `web` and by `db`
   ╭─[cimandat.kdl:4:5]
 3 │     image "nginx"
 4 │     port 8080
   ·     ────┬────
   ·         ╰── published by `web`
 5 │     depends_on "db"
   ╰────
   ╭─[data.kdl:4:5]
 3 │     restart "sometimes"
 4 │     port 8080
   ·     ────┬────
   ·         ╰── published again by `db`
 5 │ }
   ╰────
  help: publish one of them elsewhere: `port 8081 to=8080`

4 errors
"#,
    );
}

#[test]
fn clash_across_files_shows_both() {
    check_files(
        &[
            (
                "+a.kdl",
                "service \"one\" {\n    image \"nginx\"\n    port 80\n}\n",
            ),
            (
                "+b.kdl",
                "service \"two\" {\n    image \"nginx\"\n    port 80\n}\n",
            ),
        ],
        r#"
manifest::port_clash

  × port 80/tcp of this host is published twice, by `one` and by `two`
   ╭─[+a.kdl:3:5]
 2 │     image "nginx"
 3 │     port 80
   ·     ───┬───
   ·        ╰── published by `one`
 4 │ }
   ╰────
   ╭─[+b.kdl:3:5]
 2 │     image "nginx"
 3 │     port 80
   ·     ───┬───
   ·        ╰── published again by `two`
 4 │ }
   ╰────
  help: publish one of them elsewhere: `port 81 to=80`

1 error
"#,
    );
}

#[test]
fn env_file_error_is_reported() {
    check_files(
        &[
            ("cimandat.kdl", "service \"web\" { image \"nginx\" }"),
            (".env", "GOOD=1\n=bad\n"),
        ],
        r"
manifest::env_file

  × `=` cannot begin the name of a variable
   ╭─[.env:2:1]
 1 │ GOOD=1
 2 │ =bad
   · ┬
   · ╰── here
   ╰────
  help: a line is `NAME=value`, `NAME` alone, or a comment with `#`

1 error
",
    );
}

#[test]
fn bad_env_file_line_is_one_error() {
    check_files(
        &[
            (
                "cimandat.kdl",
                "service \"web\" {\n    image \"nginx:$TAG\"\n    env GREETING=\"$GREETING $NAME\"\n}\n",
            ),
            (".env", "NAME='Jo'\nGREETING='Let's go!'\nTAG=1\n"),
        ],
        r"
manifest::env_file

  × `s` cannot follow a closing quote
   ╭─[.env:2:15]
 1 │ NAME='Jo'
 2 │ GREETING='Let's go!'
   ·               ┬
   ·               ╰── here
 3 │ TAG=1
   ╰────
  help: put all of the value into the quotes, and a quote in it as `\'`; a
        comment begins with ` #`

1 error
",
    );
}

#[test]
fn unreadable_env_file_is_one_error() {
    check_files(
        &[(
            "cimandat.kdl",
            "env-file \"shop.env\"\nservice \"web\" { image \"nginx:$TAG\" }\n",
        )],
        r#"
manifest::unreadable_include

  × reading `shop.env`: no such file
   ╭─[cimandat.kdl:1:10]
 1 │ env-file "shop.env"
   ·          ─────┬────
   ·               ╰── named here
 2 │ service "web" { image "nginx:$TAG" }
   ╰────
  help: a relative path is relative to the folder of the file that contains it

1 error
"#,
    );
}

#[test]
fn template_error_is_reported_once() {
    let text = r#"
template "hardened" { read_only #true }
service "one" { image "x"; use "hardened" }
service "two" { image "x"; use "hardened" }
"#;
    let report = load_files(&[("cimandat.kdl", text)]).expect_err("a mistake");
    assert_eq!(report.mistakes().len(), 1, "{report:?}");
}

#[test]
fn json_report_has_all_errors() {
    let report = load_files(&[("cimandat.kdl", MAIN), ("data.kdl", DATA)]).expect_err("mistakes");
    let told = serde_json::to_value(&report).expect("JSON");
    let found: Vec<_> = told
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| {
            format!(
                "{}:{}:{} {}",
                entry["file"], entry["line"], entry["column"], entry["code"]
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            r#""cimandat.kdl":5:5 "manifest::unknown_node""#,
            r#""cimandat.kdl":6:18 "manifest::unit""#,
            r#""data.kdl":3:13 "manifest::unknown_value""#,
            r#""data.kdl":4:5 "manifest::port_clash""#,
        ]
    );
    assert_eq!(told[0]["help"], "did you mean `depends-on`?");
}

#[test]
fn missing_manifest_is_reported_with_help() {
    let report = cimandat::manifest::load(
        &cimandat::manifest::Request {
            current: "/shop/pages".into(),
            ..cimandat::manifest::Request::default()
        },
        &std::collections::BTreeMap::new(),
    )
    .expect_err("no manifest");
    let style = cimandat::diagnostic::Style {
        width: 80,
        colour: false,
    };
    assert_eq!(
        report.render(style).trim(),
        "manifest::not_found\n\n  × no `cimandat.kdl` in `/shop/pages` or any folder above it\n  \
         help: name a manifest with `-f FILE`, or write one: the README shows how\n\n1 error"
    );
}
