//! Syntax of YAML, TOML, HCL, JSON and KDL 1: each use is one error, with the correct line as help.

use std::{collections::BTreeMap, path::PathBuf};

use cimandat::{
    diagnostic::Style,
    manifest::{Request, load},
};
use proptest::{prelude::*, sample::select};

use super::check_mistake;

const REFERENCE: &str = include_str!("../../../manifests/ci-mandat.kdl");

/// Fragments of the parser library's own messages, which must not reach users.
const PARSERS_WORDS: [&str; 11] = [
    "Found",
    "Expected",
    "expected",
    "invalid digit",
    "value terminator",
    "Non-digit",
    "partially parsed",
    "child block",
    "identifier string",
    "No closing",
    "bad prefix",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn syntax_errors_never_show_parser_messages(
        at in 0..REFERENCE.len(),
        cut in 0..3_usize,
        put in select(vec![
            "", "{", "}", "[", "]", "(", ")", "=", " = ", ":", ",", ";", "#", "\"", "'", "\\", "/", "/*",
            "\n", " ", "- ", "5s", "true", "\"\"\"", "r#\"", "<<E",
        ]),
    ) {
        let at = REFERENCE.floor_char_boundary(at);
        let end = REFERENCE.ceil_char_boundary((at + cut).min(REFERENCE.len()));
        let text = format!("{}{put}{}", &REFERENCE[..at], &REFERENCE[end..]);
        let files = BTreeMap::from([(PathBuf::from("/shop/cimandat.kdl"), text.clone())]);
        let request = Request {
            current: PathBuf::from("/shop"),
            ..Request::default()
        };
        if let Err(report) = load(&request, &files) {
            let style = Style { width: 80, colour: false };
            prop_assert!(!report.render(style).is_empty());
            for entry in report.entries().iter().filter(|it| it.code == "manifest::syntax") {
                let told = format!("{}\n{}", entry.message, entry.help.as_deref().unwrap_or(""));
                for words in PARSERS_WORDS {
                    prop_assert!(!told.contains(words), "{told}");
                }
            }
        }
    }
}

#[test]
fn bracketed_list_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    command ["node", "s.js"]
    depends_on: [redis]
}
"#,
        r#"
manifest::syntax

  × a list is written without brackets
   ╭─[cimandat.kdl:3:13]
 2 │     image "nginx"
 3 │     command ["node", "s.js"]
   ·             ┬
   ·             ╰── begins here
 4 │     depends_on: [redis]
   ╰────
  help: write `command "node" "s.js"`

manifest::syntax

  × the name of a node has no colon
   ╭─[cimandat.kdl:4:15]
 3 │     command ["node", "s.js"]
 4 │     depends_on: [redis]
   ·               ┬
   ·               ╰── unexpected colon
 5 │ }
   ╰────
  help: write `depends-on "redis"`

2 errors
"#,
    );
}

#[test]
fn multi_line_list_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    command = [
        "node",
        "s.js",
    ]
}
"#,
        r#"
manifest::syntax

  × a node has no `=` behind its name
   ╭─[cimandat.kdl:3:13]
 2 │     image "nginx"
 3 │     command = [
   ·             ┬
   ·             ╰── not here
 4 │         "node",
   ╰────
  help: an argument follows after a space: `command "node" "s.js"`

1 error
"#,
    );
}

#[test]
fn brace_on_next_line_is_explained() {
    check_mistake(
        r#"service "web"
{
    image "nginx"
}
"#,
        r#"
manifest::syntax

  × the `{` of a block must be on the line of its node
   ╭─[cimandat.kdl:2:1]
 1 │ service "web"
 2 │ {
   · ┬
   · ╰── on the next line
 3 │     image "nginx"
   ╰────
  help: write `service "web" {`

1 error
"#,
    );
}

#[test]
fn equals_sign_in_env_block_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    env {
        B=2
        C = "3"
    }
}
"#,
        r#"
manifest::syntax

  × a node has no `=` behind its name
   ╭─[cimandat.kdl:4:10]
 3 │     env {
 4 │         B=2
   ·          ┬
   ·          ╰── not here
 5 │         C = "3"
   ╰────
  help: an argument follows after a space: `B "2"`

manifest::syntax

  × a node has no `=` behind its name
   ╭─[cimandat.kdl:5:11]
 4 │         B=2
 5 │         C = "3"
   ·           ┬
   ·           ╰── not here
 6 │     }
   ╰────
  help: an argument follows after a space: `C "3"`

2 errors
"#,
    );
}

#[test]
fn inline_table_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    env = { MODE = "fast", LEVEL = 3 }
}
"#,
        r#"
manifest::syntax

  × a node has no `=` behind its name
   ╭─[cimandat.kdl:3:9]
 2 │     image "nginx"
 3 │     env = { MODE = "fast", LEVEL = 3 }
   ·         ┬
   ·         ╰── not here
 4 │ }
   ╰────
  help: an argument follows after a space: `env { MODE "fast"; LEVEL "3" }`

1 error
"#,
    );
}

#[test]
fn colon_after_name_is_explained() {
    check_mistake(
        r#"service "web" {
    image: nginx
    "tty": true
    env { MODE: "fast" }
}
"#,
        r#"
manifest::syntax

  × the name of a node has no colon
   ╭─[cimandat.kdl:2:10]
 1 │ service "web" {
 2 │     image: nginx
   ·          ┬
   ·          ╰── unexpected colon
 3 │     "tty": true
   ╰────
  help: write `image "nginx"`

manifest::syntax

  × the name of a node has no colon
   ╭─[cimandat.kdl:3:10]
 2 │     image: nginx
 3 │     "tty": true
   ·          ┬
   ·          ╰── unexpected colon
 4 │     env { MODE: "fast" }
   ╰────
  help: write `tty #true`

manifest::syntax

  × the name of a node has no colon
   ╭─[cimandat.kdl:4:15]
 3 │     "tty": true
 4 │     env { MODE: "fast" }
   ·               ┬
   ·               ╰── unexpected colon
 5 │ }
   ╰────
  help: write `env { MODE "fast" }`

3 errors
"#,
    );
}

#[test]
fn dashed_list_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    ports:
      - "80:80"
      - 443:443
}
"#,
        r#"
manifest::syntax

  × the name of a node has no colon
   ╭─[cimandat.kdl:3:10]
 2 │     image "nginx"
 3 │     ports:
   ·          ┬
   ·          ╰── unexpected colon
 4 │       - "80:80"
   ╰────
  help: write `port "80:80"; port "443:443"`

1 error
"#,
    );
}

#[test]
fn dashed_command_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    command:
    - node
    - s.js
}
"#,
        r#"
manifest::syntax

  × the name of a node has no colon
   ╭─[cimandat.kdl:3:12]
 2 │     image "nginx"
 3 │     command:
   ·            ┬
   ·            ╰── unexpected colon
 4 │     - node
   ╰────
  help: write `command "node" "s.js"`

1 error
"#,
    );
}

#[test]
fn indented_env_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    environment:
        MODE: fast
        DEBUG: true
}
"#,
        r#"
manifest::syntax

  × the name of a node has no colon
   ╭─[cimandat.kdl:3:16]
 2 │     image "nginx"
 3 │     environment:
   ·                ┬
   ·                ╰── unexpected colon
 4 │         MODE: fast
   ╰────
  help: write `env { MODE "fast"; DEBUG "true" }`

1 error
"#,
    );
}

#[test]
fn dashed_env_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    env {
        - MODE=fast
    }
}
"#,
        r#"
manifest::syntax

  × an item of a list has no dash
   ╭─[cimandat.kdl:4:9]
 3 │     env {
 4 │         - MODE=fast
   ·         ┬
   ·         ╰── unexpected dash
 5 │     }
   ╰────
  help: write `MODE "fast"`

1 error
"#,
    );
}

#[test]
fn hash_comment_is_explained() {
    check_mistake(
        r#"# the shop
service "web" {
    image "nginx" # pinned
    #port 80
}
"#,
        r#"
manifest::syntax

  × a comment starts with `//`, not with `#`
   ╭─[cimandat.kdl:1:1]
 1 │ # the shop
   · ─────┬────
   ·      ╰── comment
 2 │ service "web" {
   ╰────
  help: write `// the shop`

manifest::syntax

  × a comment starts with `//`, not with `#`
   ╭─[cimandat.kdl:3:19]
 2 │ service "web" {
 3 │     image "nginx" # pinned
   ·                   ────┬───
   ·                       ╰── comment
 4 │     #port 80
   ╰────
  help: write `// pinned`

manifest::syntax

  × a comment starts with `//`, not with `#`
   ╭─[cimandat.kdl:4:5]
 3 │     image "nginx" # pinned
 4 │     #port 80
   ·     ────┬───
   ·         ╰── comment
 5 │ }
   ╰────
  help: write `// port 80`

3 errors
"#,
    );
}

#[test]
fn toml_section_is_explained() {
    check_mistake(
        r#"[services.web]
image = "nginx"
"#,
        r#"
manifest::other_language

  × this looks like TOML, and a manifest is written in KDL
   ╭─[cimandat.kdl:1:1]
 1 │ [services.web]
   · ───────┬──────
   ·        ╰── as in TOML
 2 │ image = "nginx"
   ╰────
  help: a service is written `service "web" { image "nginx"; port 80 }` here

1 error
"#,
    );
}

#[test]
fn json_document_is_explained() {
    check_mistake(
        r#"{
  "services": {}
}
"#,
        r#"
manifest::other_language

  × this looks like JSON, and a manifest is written in KDL
   ╭─[cimandat.kdl:1:1]
 1 │ {
   · ┬
   · ╰── as in JSON
 2 │   "services": {}
   ╰────
  help: a service is written `service "web" { image "nginx"; port 80 }` here

1 error
"#,
    );
}

#[test]
fn json_pair_is_explained() {
    check_mistake(
        r#"service "web" {
    "image": "nginx",
    "tty": true
}
"#,
        r#"
manifest::syntax

  × the name of a node has no colon
   ╭─[cimandat.kdl:2:12]
 1 │ service "web" {
 2 │     "image": "nginx",
   ·            ┬
   ·            ╰── unexpected colon
 3 │     "tty": true
   ╰────
  help: write `image "nginx"`

manifest::syntax

  × the name of a node has no colon
   ╭─[cimandat.kdl:3:10]
 2 │     "image": "nginx",
 3 │     "tty": true
   ·          ┬
   ·          ╰── unexpected colon
 4 │ }
   ╰────
  help: write `tty #true`

2 errors
"#,
    );
}

#[test]
fn foreign_quotes_are_explained() {
    check_mistake(
        r#"service "web" {
    image 'nginx'
    command `node` “s.js”
}
"#,
        r#"
manifest::syntax

  × `'` does not quote a text
   ╭─[cimandat.kdl:2:11]
 1 │ service "web" {
 2 │     image 'nginx'
   ·           ───┬───
   ·              ╰── other quotes
 3 │     command `node` “s.js”
   ╰────
  help: write `image "nginx"`

manifest::syntax

  × ``` does not quote a text
   ╭─[cimandat.kdl:3:13]
 2 │     image 'nginx'
 3 │     command `node` “s.js”
   ·             ───┬──
   ·                ╰── other quotes
 4 │ }
   ╰────
  help: write `command "node" "s.js"`

2 errors
"#,
    );
}

#[test]
fn here_document_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    command "sh" "-c" <<EOF
        echo a
    EOF
}
"#,
        r#"
manifest::syntax

  × here-documents are not part of KDL
   ╭─[cimandat.kdl:3:23]
 2 │     image "nginx"
 3 │     command "sh" "-c" <<EOF
   ·                       ──┬──
   ·                         ╰── begins here
 4 │         echo a
   ╰────
  help: use a multi-line text: end the line with `"""`, and put the closing
        `"""` on its own line

1 error
"#,
    );
}

#[test]
fn commas_are_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    cap-add NET_ADMIN, SYS_TIME
    dns "1.1.1.1", "8.8.8.8"
}
"#,
        r#"
manifest::syntax

  × values are separated by spaces, not by commas
   ╭─[cimandat.kdl:3:13]
 2 │     image "nginx"
 3 │     cap-add NET_ADMIN, SYS_TIME
   ·             ─────┬────
   ·                  ╰── unexpected comma
 4 │     dns "1.1.1.1", "8.8.8.8"
   ╰────
  help: write `cap-add "NET_ADMIN" "SYS_TIME"`

manifest::syntax

  × values are separated by spaces, not by commas
   ╭─[cimandat.kdl:4:18]
 3 │     cap-add NET_ADMIN, SYS_TIME
 4 │     dns "1.1.1.1", "8.8.8.8"
   ·                  ┬
   ·                  ╰── unexpected comma
 5 │ }
   ╰────
  help: write `dns "1.1.1.1" "8.8.8.8"`

2 errors
"#,
    );
}

#[test]
fn parenthesized_values_are_explained() {
    check_mistake(
        r#"service "web" {
    image("nginx")
}
"#,
        r#"
manifest::syntax

  × values are written without parentheses
   ╭─[cimandat.kdl:2:10]
 1 │ service "web" {
 2 │     image("nginx")
   ·          ┬
   ·          ╰── begin here
 3 │ }
   ╰────
  help: write `image "nginx"`

1 error
"#,
    );
}

#[test]
fn kdl_1_raw_string_is_explained() {
    check_mistake(
        r##"service "web" {
    image "nginx"
    label "a" r"\d"
    ready { log r#"say "x" now"#; }
}
"##,
        r##"
manifest::syntax

  × a raw text has no `r` before it
   ╭─[cimandat.kdl:3:15]
 2 │     image "nginx"
 3 │     label "a" r"\d"
   ·               ──┬──
   ·                 ╰── as in KDL 1
 4 │     ready { log r#"say "x" now"#; }
   ╰────
  help: write `label "a" #"\d"#`

manifest::syntax

  × a raw text has no `r` before it
   ╭─[cimandat.kdl:4:17]
 3 │     label "a" r"\d"
 4 │     ready { log r#"say "x" now"#; }
   ·                 ────────┬───────
   ·                         ╰── as in KDL 1
 5 │ }
   ╰────
  help: write `ready { log #"say "x" now"#; }`

2 errors
"##,
    );
}

#[test]
fn unquoted_path_is_explained() {
    check_mistake(
        r#"service "web" {
    image ghcr.io/shop/web:1
    bind ./www /www read-only=#true
}
"#,
        r#"
manifest::syntax

  × `ghcr.io/shop/web:1` must be quoted
   ╭─[cimandat.kdl:2:11]
 1 │ service "web" {
 2 │     image ghcr.io/shop/web:1
   ·           ─────────┬────────
   ·                    ╰── without quotes
 3 │     bind ./www /www read-only=#true
   ╰────
  help: write `image "ghcr.io/shop/web:1"`

manifest::syntax

  × `./www` must be quoted
   ╭─[cimandat.kdl:3:10]
 2 │     image ghcr.io/shop/web:1
 3 │     bind ./www /www read-only=#true
   ·          ──┬──
   ·            ╰── without quotes
 4 │ }
   ╰────
  help: write `bind "./www" "/www" read-only=#true`

2 errors
"#,
    );
}

#[test]
fn unquoted_url_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    ready { http http://localhost:80/ }
}
"#,
        r#"
manifest::syntax

  × `http://localhost:80/` must be quoted
   ╭─[cimandat.kdl:3:18]
 2 │     image "nginx"
 3 │     ready { http http://localhost:80/ }
   ·                  ──────────┬─────────
   ·                            ╰── without quotes
 4 │ }
   ╰────
  help: write `ready { http "http://localhost:80/" }`

1 error
"#,
    );
}

#[test]
fn unquoted_variable_is_explained() {
    check_mistake(
        r#"service "web" {
    image nginx:${TAG:-1}
}
"#,
        r#"
manifest::syntax

  × a text that contains a variable must be quoted
   ╭─[cimandat.kdl:2:11]
 1 │ service "web" {
 2 │     image nginx:${TAG:-1}
   ·           ───────┬───────
   ·                  ╰── without quotes
 3 │ }
   ╰────
  help: write `image "nginx:${TAG:-1}"`

1 error
"#,
    );
}

#[test]
fn spaces_around_equals_sign_are_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    ready timeout = 5s { tcp 80 }
}
"#,
        r#"
manifest::syntax

  × a property has no spaces around its `=`
   ╭─[cimandat.kdl:3:19]
 2 │     image "nginx"
 3 │     ready timeout = 5s { tcp 80 }
   ·                   ┬
   ·                   ╰── of a property
 4 │ }
   ╰────
  help: write `ready timeout="5s" { tcp 80 }`

1 error
"#,
    );
}

#[test]
fn foreign_escape_sequence_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    ready { log "\d+ ready"; }
    label "a" "\u0041"
}
"#,
        r##"
manifest::syntax

  × `\d` is not an escape sequence
   ╭─[cimandat.kdl:3:18]
 2 │     image "nginx"
 3 │     ready { log "\d+ ready"; }
   ·                  ─┬
   ·                   ╰── in this text
 4 │     label "a" "\u0041"
   ╰────
  help: in a raw text, backslashes stand for themselves: `#"\d+ ready"#`

manifest::syntax

  × `\u` is not an escape sequence
   ╭─[cimandat.kdl:4:16]
 3 │     ready { log "\d+ ready"; }
 4 │     label "a" "\u0041"
   ·                ─┬
   ·                 ╰── in this text
 5 │ }
   ╰────
  help: write the code in braces: `\u{41}`

2 errors
"##,
    );
}

#[test]
fn triple_quotes_on_one_line_are_explained() {
    check_mistake(
        r#"service "web" {
    image """nginx"""
}
"#,
        r#"
manifest::syntax

  × a multi-line text must start on the line below its `"""`
   ╭─[cimandat.kdl:2:11]
 1 │ service "web" {
 2 │     image """nginx"""
   ·           ─────┬─────
   ·                ╰── on the same line
 3 │ }
   ╰────
  help: write a text of one line with one quote: `"nginx"`

1 error
"#,
    );
}

#[test]
fn underindented_multi_line_string_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    command "sh" "-c" """
      echo a
    echo b
      """
}
"#,
        r#"
manifest::syntax

  × a line of a multi-line text is indented less than its closing `"""`
   ╭─[cimandat.kdl:5:5]
 4 │       echo a
 5 │     echo b
   ·     ───┬──
   ·        ╰── this line
 6 │       """
   ╰────
  help: indent the line as far, or move the closing `"""` to the left

1 error
"#,
    );
}

#[test]
fn closing_quotes_on_text_line_are_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    command "sh" "-c" """
      echo a"""
}
"#,
        r#"
manifest::syntax

  × the closing `"""` of a multi-line text must be on its own line
   ╭─[cimandat.kdl:4:7]
 3 │     command "sh" "-c" """
 4 │       echo a"""
   ·       ───┬──
   ·          ╰── on the same line
 5 │ }
   ╰────
  help: put a line break before it

1 error
"#,
    );
}

#[test]
fn two_blocks_on_one_line_are_explained() {
    check_mistake(
        r#"service "web" { image "nginx"; } service "db" { image "nginx"; }
"#,
        r#"
manifest::syntax

  × a block must be followed by a new line
   ╭─[cimandat.kdl:1:34]
 1 │ service "web" { image "nginx"; } service "db" { image "nginx"; }
   ·                                  ───┬───
   ·                                     ╰── on the same line
   ╰────
  help: start a new line, or put a `;` in between

1 error
"#,
    );
}

#[test]
fn number_as_node_name_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    80 "http"
}
"#,
        r#"
manifest::syntax

  × `80` cannot be the name of a node
   ╭─[cimandat.kdl:3:5]
 2 │     image "nginx"
 3 │     80 "http"
   ·     ─┬
   ·      ╰── not a name
 4 │ }
   ╰────
  help: start a node with its name: `port 8080`

1 error
"#,
    );
}

#[test]
fn missing_semicolon_is_explained() {
    check_mistake(
        r#"service "web" { image "nginx" tty #true }
"#,
        r#"
manifest::extra_argument

  × `image` takes one argument
   ╭─[cimandat.kdl:1:31]
 1 │ service "web" { image "nginx" tty #true }
   ·                               ─┬─
   ·                                ╰── one too many
   ╰────
  help: nodes on one line have a `;` between them: `…; tty …`

1 error
"#,
    );
}

#[test]
fn yaml_booleans_are_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    tty yes
    init "on"
    read-only 1
}
"#,
        r#"
manifest::wrong_type

  × expected `#true` or `#false`, found the text `yes`
   ╭─[cimandat.kdl:3:9]
 2 │     image "nginx"
 3 │     tty yes
   ·         ─┬─
   ·          ╰── not `#true` or `#false`
 4 │     init "on"
   ╰────
  help: write `#true`

manifest::wrong_type

  × expected `#true` or `#false`, found the text `on`
   ╭─[cimandat.kdl:4:10]
 3 │     tty yes
 4 │     init "on"
   ·          ──┬─
   ·            ╰── not `#true` or `#false`
 5 │     read-only 1
   ╰────
  help: write `#true`

manifest::wrong_type

  × expected `#true` or `#false`, found the number `1`
   ╭─[cimandat.kdl:5:15]
 4 │     init "on"
 5 │     read-only 1
   ·               ┬
   ·               ╰── not `#true` or `#false`
 6 │ }
   ╰────
  help: write `#true`

3 errors
"#,
    );
}

#[test]
fn malformed_numbers_are_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    limit cpus=.5 memory="1GiB"
    secret "a" mode=0o9
    replicas 99999999999999999999999999999999999999999999
}
"#,
        r#"
manifest::syntax

  × `.5` is neither a number nor a text
   ╭─[cimandat.kdl:3:16]
 2 │     image "nginx"
 3 │     limit cpus=.5 memory="1GiB"
   ·                ─┬
   ·                 ╰── begins like a number
 4 │     secret "a" mode=0o9
   ╰────
  help: write `0.5`

manifest::syntax

  × `0o9` is neither a number nor a text
   ╭─[cimandat.kdl:4:21]
 3 │     limit cpus=.5 memory="1GiB"
 4 │     secret "a" mode=0o9
   ·                     ─┬─
   ·                      ╰── begins like a number
 5 │     replicas 99999999999999999999999999999999999999999999
   ╰────
  help: the digits of an octal number are 0 to 7

manifest::syntax

  × `99999999999999999999999999999999999999999999` is neither a number nor a
  │ text
   ╭─[cimandat.kdl:5:14]
 4 │     secret "a" mode=0o9
 5 │     replicas 99999999999999999999999999999999999999999999
   ·              ──────────────────────┬─────────────────────
   ·                                    ╰── begins like a number
 6 │ }
   ╰────
  help: the number is too large

3 errors
"#,
    );
}

#[test]
fn unclosed_inner_block_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    env {
        A "1"
}
service "db" {
    image "nginx"
}
"#,
        r#"
manifest::syntax

  × a block is not closed
   ╭─[cimandat.kdl:3:9]
 2 │     image "nginx"
 3 │     env {
   ·         ┬
   ·         ╰── opened here
 4 │         A "1"
   ╰────
  help: close it with `}`

1 error
"#,
    );
}

#[test]
fn unclosed_comment_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx" /* pinned
}
"#,
        r#"
manifest::syntax

  × a comment is not closed
   ╭─[cimandat.kdl:2:19]
 1 │ service "web" {
 2 │     image "nginx" /* pinned
   ·                   ─┬
   ·                    ╰── begins here
 3 │ }
   ╰────
  help: close it with `*/`

1 error
"#,
    );
}

#[test]
fn invisible_character_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx‎"
}
"#,
        r#"
manifest::syntax

  × the invisible character U+200E is not allowed
   ╭─[cimandat.kdl:2:17]
 1 │ service "web" {
 2 │     image "nginx‎"
   ·                 ┬
   ·                 ╰── here
 3 │ }
   ╰────
  help: delete it

1 error
"#,
    );
}

#[test]
fn missing_space_between_values_is_explained() {
    check_mistake(
        r#"service "web" {
    image"nginx"
    command "node""s.js"
}
"#,
        r#"
manifest::syntax

  × a space is missing between two values
   ╭─[cimandat.kdl:2:10]
 1 │ service "web" {
 2 │     image"nginx"
   ·          ───┬───
   ·             ╰── begins here
 3 │     command "node""s.js"
   ╰────
  help: write `image "nginx"`

manifest::syntax

  × a space is missing between two values
   ╭─[cimandat.kdl:3:19]
 2 │     image"nginx"
 3 │     command "node""s.js"
   ·                   ───┬──
   ·                      ╰── begins here
 4 │ }
   ╰────
  help: write `command "node" "s.js"`

2 errors
"#,
    );
}

#[test]
fn hcl_file_is_explained() {
    check_mistake(
        r#"service "web" {
  image = "nginx"
  ports = ["80:80"]
  env = {
    MODE = "fast"
  }
}
"#,
        r#"
manifest::syntax

  × a node has no `=` behind its name
   ╭─[cimandat.kdl:2:9]
 1 │ service "web" {
 2 │   image = "nginx"
   ·         ┬
   ·         ╰── not here
 3 │   ports = ["80:80"]
   ╰────
  help: an argument follows after a space: `image "nginx"`

manifest::syntax

  × a node has no `=` behind its name
   ╭─[cimandat.kdl:3:9]
 2 │   image = "nginx"
 3 │   ports = ["80:80"]
   ·         ┬
   ·         ╰── not here
 4 │   env = {
   ╰────
  help: an argument follows after a space: `port "80:80"`

manifest::syntax

  × a node has no `=` behind its name
   ╭─[cimandat.kdl:4:7]
 3 │   ports = ["80:80"]
 4 │   env = {
   ·       ┬
   ·       ╰── not here
 5 │     MODE = "fast"
   ╰────
  help: an argument follows after a space: `env {`

manifest::syntax

  × a node has no `=` behind its name
   ╭─[cimandat.kdl:5:10]
 4 │   env = {
 5 │     MODE = "fast"
   ·          ┬
   ·          ╰── not here
 6 │   }
   ╰────
  help: an argument follows after a space: `MODE "fast"`

4 errors
"#,
    );
}

#[test]
fn unmatched_closing_bracket_is_explained() {
    check_mistake(
        r#"service "web" {
    image "nginx")
    cap-add NET_ADMIN]
    (remove)port 80
}
"#,
        r#"
manifest::syntax

  × unmatched `)`
   ╭─[cimandat.kdl:2:18]
 1 │ service "web" {
 2 │     image "nginx")
   ·                  ┬
   ·                  ╰── not opened
 3 │     cap-add NET_ADMIN]
   ╰────
  help: delete it, or quote the text that contains it

manifest::syntax

  × unmatched `]`
   ╭─[cimandat.kdl:3:22]
 2 │     image "nginx")
 3 │     cap-add NET_ADMIN]
   ·                      ┬
   ·                      ╰── not opened
 4 │     (remove)port 80
   ╰────
  help: delete it, or quote the text that contains it

2 errors
"#,
    );
}

#[test]
fn other_syntax_error_shows_its_position() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    (remove
}
"#,
        r#"
manifest::syntax

  × this is not valid KDL
   ╭─[cimandat.kdl:3:6]
 2 │     image "nginx"
 3 │     (remove
   ·      ───┬──
   ·         ╰── cannot be parsed
 4 │ }
   ╰────
  help: a node is a name, followed by values, properties and an optional
        block: `port 8080 to=80`

1 error
"#,
    );
}
