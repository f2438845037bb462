//! Errors in reading files and in parsing them as KDL.

use super::check_mistake;

#[test]
fn bare_word_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    read-only true
}"#,
        r#"
manifest::syntax

  × `true` is not a value
   ╭─[cimandat.kdl:3:15]
 2 │     image "nginx"
 3 │     read-only true
   ·               ──┬─
   ·                 ╰── a bare word
 4 │ }
   ╰────
  help: write `#true`, or `"true"` if a text is meant

1 error
"#,
    );
}

#[test]
fn missing_closing_quote_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx
    tty #true
}"#,
        r#"
manifest::syntax

  × a text has no closing quote
   ╭─[cimandat.kdl:2:11]
 1 │ service "web" {
 2 │     image "nginx
   ·           ───┬──
   ·              ╰── begins here
 3 │     tty #true
   ╰────
  help: close it on the same line; a multi-line string is enclosed by `"""`

1 error
"#,
    );
}

#[test]
fn number_with_suffix_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    stop-grace-period 5s
}"#,
        r#"
manifest::syntax

  × `5s` is neither a number nor a text
   ╭─[cimandat.kdl:3:23]
 2 │     image "nginx"
 3 │     stop-grace-period 5s
   ·                       ─┬
   ·                        ╰── begins like a number
 4 │ }
   ╰────
  help: put it in quotes: `"5s"`

1 error
"#,
    );
}

#[test]
fn unquoted_property_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    ready timeout=5s { started }
}"#,
        r#"
manifest::syntax

  × `5s` is neither a number nor a text
   ╭─[cimandat.kdl:3:19]
 2 │     image "nginx"
 3 │     ready timeout=5s { started }
   ·                   ─┬
   ·                    ╰── begins like a number
 4 │ }
   ╰────
  help: put it in quotes: `"5s"`

1 error
"#,
    );
}

#[test]
fn property_without_value_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    env MODE=
}"#,
        r#"
manifest::syntax

  × a property has no value
   ╭─[cimandat.kdl:3:14]
 2 │     image "nginx"
 3 │     env MODE=
   ·              ▲
   ·              ╰── a value belongs here
 4 │ }
   ╰────
  help: write `name="value"`, without spaces around the `=`

1 error
"#,
    );
}

#[test]
fn unclosed_block_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
"#,
        r#"
manifest::syntax

  × a block is not closed
   ╭─[cimandat.kdl:1:15]
 1 │ service "web" {
   ·               ┬
   ·               ╰── opened here
 2 │     image "nginx"
   ╰────
  help: close it with `}`

1 error
"#,
    );
}

#[test]
fn extra_closing_brace_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
}
}"#,
        r"
manifest::syntax

  × a `}` closes nothing
   ╭─[cimandat.kdl:4:1]
 3 │ }
 4 │ }
   · ┬
   · ╰── one too many
   ╰────

1 error
",
    );
}

#[test]
fn equals_sign_after_node_is_reported() {
    check_mistake(
        r#"service "web" {
    image = "nginx"
}"#,
        r#"
manifest::syntax

  × a node has no `=` behind its name
   ╭─[cimandat.kdl:2:11]
 1 │ service "web" {
 2 │     image = "nginx"
   ·           ┬
   ·           ╰── not here
 3 │ }
   ╰────
  help: an argument follows after a space: `image "nginx"`

1 error
"#,
    );
}

#[test]
fn unknown_keyword_is_reported() {
    check_mistake(
        r#"service "web" {
    tty #yes
}"#,
        r#"
manifest::syntax

  × `#yes` is not a keyword
   ╭─[cimandat.kdl:2:9]
 1 │ service "web" {
 2 │     tty #yes
   ·         ──┬─
   ·           ╰── unknown keyword
 3 │ }
   ╰────
  help: the keywords are `#true`, `#false` and `#null`

1 error
"#,
    );
}

#[test]
fn yaml_is_reported() {
    check_mistake(
        r"services:
  web:
    image: nginx
",
        r#"
manifest::yaml

  × this looks like YAML, and a manifest is written in KDL
   ╭─[cimandat.kdl:1:1]
 1 │ services:
   · ────┬────
   ·     ╰── a key with a colon
 2 │   web:
   ╰────
  help: a service of Compose is written `service "web" { image "nginx"; port
        80 }` here

1 error
"#,
    );
}

#[test]
fn empty_manifest_is_reported() {
    check_mistake(
        r"// to be written
",
        r#"
manifest::empty

  × the manifest declares no service
   ╭─[cimandat.kdl:1:1]
 1 │ // to be written
   · ▲
   · ╰── nothing to deploy
   ╰────
  help: a service is declared by `service "web" { image "nginx:1.29" }`

1 error
"#,
    );
}

#[test]
fn missing_include_is_reported() {
    check_mistake(
        r#"include "extra.kdl"
service "web" { image "nginx" }"#,
        r#"
manifest::unreadable_include

  × reading `extra.kdl`: no such file
   ╭─[cimandat.kdl:1:9]
 1 │ include "extra.kdl"
   ·         ─────┬─────
   ·              ╰── named here
 2 │ service "web" { image "nginx" }
   ╰────
  help: a relative path is relative to the folder of the file that contains it

1 error
"#,
    );
}

#[test]
fn self_include_is_reported() {
    check_mistake(
        r#"include "cimandat.kdl"
service "web" { image "nginx" }"#,
        r#"
manifest::include_cycle

  × `cimandat.kdl` includes itself
   ╭─[cimandat.kdl:1:9]
 1 │ include "cimandat.kdl"
   ·         ───────┬──────
   ·                ╰── this file is already being read
 2 │ service "web" { image "nginx" }
   ╰────
  help: remove one of the `include` lines

1 error
"#,
    );
}

#[test]
fn yaml_invalid_as_kdl_is_reported() {
    check_mistake(
        r#"version: "3"
services:
  web:
    ports: [80]
"#,
        r#"
manifest::yaml

  × this looks like YAML, and a manifest is written in KDL
   ╭─[cimandat.kdl:1:1]
 1 │ version: "3"
   · ────┬───
   ·     ╰── a key with a colon
 2 │ services:
   ╰────
  help: a service of Compose is written `service "web" { image "nginx"; port
        80 }` here

1 error
"#,
    );
}

#[test]
fn deep_nesting_is_reported() {
    check_mistake(
        &"a {\n".repeat(65),
        r"
manifest::syntax

  × blocks or comments are nested too deep
    ╭─[cimandat.kdl:65:3]
 64 │ a {
 65 │ a {
    ·   ┬
    ·   ╰── one too deep
    ╰────

1 error
",
    );
}
