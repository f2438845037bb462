//! Errors in values: types, units, ranges and formats.

use super::check_mistake;

#[test]
fn number_instead_of_text_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    env PORT=8080
}"#,
        r#"
manifest::wrong_type

  × expected a text, found the number `8080`
   ╭─[cimandat.kdl:3:14]
 2 │     image "nginx"
 3 │     env PORT=8080
   ·              ──┬─
   ·                ╰── not a text
 4 │ }
   ╰────
  help: put it in quotes: `"8080"`

1 error
"#,
    );
}

#[test]
fn text_instead_of_number_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    replicas "3"
}"#,
        r#"
manifest::wrong_type

  × expected a whole number, found the text `3`
   ╭─[cimandat.kdl:3:14]
 2 │     image "nginx"
 3 │     replicas "3"
   ·              ─┬─
   ·               ╰── not a whole number
 4 │ }
   ╰────
  help: write it without quotes: `3`

1 error
"#,
    );
}

#[test]
fn text_instead_of_boolean_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    tty "yes"
}"#,
        r#"
manifest::wrong_type

  × expected `#true` or `#false`, found the text `yes`
   ╭─[cimandat.kdl:3:9]
 2 │     image "nginx"
 3 │     tty "yes"
   ·         ──┬──
   ·           ╰── not `#true` or `#false`
 4 │ }
   ╰────
  help: write `#true`

1 error
"#,
    );
}

#[test]
fn duration_without_unit_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    ready timeout=90 { started }
}"#,
        r#"
manifest::unit

  × `90` has no unit
   ╭─[cimandat.kdl:3:19]
 2 │     image "nginx"
 3 │     ready timeout=90 { started }
   ·                   ─┬
   ·                    ╰── a duration needed
 4 │ }
   ╰────
  help: write the unit too, such as `"90s"`; units are `us`, `ms`, `s`, `m`,
        `h`, `d`

1 error
"#,
    );
}

#[test]
fn size_without_unit_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    limit memory=512
}"#,
        r#"
manifest::unit

  × `512` has no unit
   ╭─[cimandat.kdl:3:18]
 2 │     image "nginx"
 3 │     limit memory=512
   ·                  ─┬─
   ·                   ╰── a size needed
 4 │ }
   ╰────
  help: write the unit too, such as `"512MiB"`; units are `B`, `KiB`, `MiB`,
        `GiB`, `TiB` (also `k`, `m`, `g`, `t`)

1 error
"#,
    );
}

#[test]
fn unknown_unit_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    stop-grace-period "5 minutes"
}"#,
        r#"
manifest::unit

  × `5` has no unit
   ╭─[cimandat.kdl:3:23]
 2 │     image "nginx"
 3 │     stop-grace-period "5 minutes"
   ·                       ─────┬─────
   ·                            ╰── a duration needed
 4 │ }
   ╰────
  help: write the unit too, such as `"5s"`; units are `us`, `ms`, `s`, `m`,
        `h`, `d`

1 error
"#,
    );
}

#[test]
fn port_out_of_range_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    port 70000
}"#,
        r#"
manifest::out_of_range

  × a port is between 1 and 65535, not 70000
   ╭─[cimandat.kdl:3:10]
 2 │     image "nginx"
 3 │     port 70000
   ·          ──┬──
   ·            ╰── out of range
 4 │ }
   ╰────

1 error
"#,
    );
}

#[test]
fn port_zero_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    port 0
}"#,
        r#"
manifest::out_of_range

  × a port is between 1 and 65535, not 0
   ╭─[cimandat.kdl:3:10]
 2 │     image "nginx"
 3 │     port 0
   ·          ┬
   ·          ╰── out of range
 4 │ }
   ╰────

1 error
"#,
    );
}

#[test]
fn port_range_from_zero_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    port "0-2:80"
}"#,
        r#"
manifest::out_of_range

  × a port is between 1 and 65535, not 0
   ╭─[cimandat.kdl:3:10]
 2 │     image "nginx"
 3 │     port "0-2:80"
   ·          ────┬───
   ·              ╰── out of range
 4 │ }
   ╰────

1 error
"#,
    );
}

#[test]
fn port_ranges_of_different_length_are_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    port "3000-3005:3000-3004"
}"#,
        r#"
manifest::invalid_value

  × `3000-3005:3000-3004` is not a pair of ranges of one length
   ╭─[cimandat.kdl:3:10]
 2 │     image "nginx"
 3 │     port "3000-3005:3000-3004"
   ·          ──────────┬──────────
   ·                    ╰── not a pair of ranges of one length
 4 │ }
   ╰────
  help: ports look like `8080`, `"8080:80"`, `"127.0.0.1:8080:80/tcp"`,
        `"3000-3005:3000-3005"` or, for replicas, `"8081-8083:80"`

1 error
"#,
    );
}

#[test]
fn non_numeric_port_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    port "http"
}"#,
        r#"
manifest::invalid_value

  × `http` is not a port
   ╭─[cimandat.kdl:3:10]
 2 │     image "nginx"
 3 │     port "http"
   ·          ───┬──
   ·             ╰── not a port
 4 │ }
   ╰────
  help: ports look like `8080`, `"8080:80"`, `"127.0.0.1:8080:80/tcp"`,
        `"3000-3005:3000-3005"` or, for replicas, `"8081-8083:80"`

1 error
"#,
    );
}

#[test]
fn unknown_value_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    restart "sometimes"
}"#,
        r#"
manifest::unknown_value

  × `restart` cannot be `sometimes`
   ╭─[cimandat.kdl:3:13]
 2 │     image "nginx"
 3 │     restart "sometimes"
   ·             ─────┬─────
   ·                  ╰── unknown value
 4 │ }
   ╰────
  help: one of `no`, `always`, `unless-stopped`, `on-failure`

1 error
"#,
    );
}

#[test]
fn unknown_until_condition_is_reported() {
    check_mistake(
        r#"service "db" { image "postgres" }
service "web" {
    image "nginx"
    depends-on "db" until="healthy"
}"#,
        r#"
manifest::unknown_value

  × `until` cannot be `healthy`
   ╭─[cimandat.kdl:4:27]
 3 │     image "nginx"
 4 │     depends-on "db" until="healthy"
   ·                           ────┬────
   ·                               ╰── unknown value
 5 │ }
   ╰────
  help: did you mean `ready`? one of `started`, `ready`, `completed`

1 error
"#,
    );
}

#[test]
fn invalid_name_is_reported() {
    check_mistake(
        r#"service "my web" { image "nginx" }"#,
        r#"
manifest::invalid_name

  × ` ` is not allowed at position 3 of the name `my web`
   ╭─[cimandat.kdl:1:9]
 1 │ service "my web" { image "nginx" }
   ·         ────┬───
   ·             ╰── not a service's name
   ╰────
  help: letters and digits, separated by `.`, `_`, `__` or any number of `-`

1 error
"#,
    );
}

#[test]
fn invalid_project_name_is_reported() {
    check_mistake(
        r#"project "Shop"
service "web" { image "nginx" }"#,
        r#"
manifest::invalid_name

  × `S` is not allowed at position 1 of the name `Shop`
   ╭─[cimandat.kdl:1:9]
 1 │ project "Shop"
   ·         ───┬──
   ·            ╰── not a project's name
 2 │ service "web" { image "nginx" }
   ╰────
  help: lowercase letters and digits, separated by `_`, `__` or any number of
        `-`

1 error
"#,
    );
}

#[test]
fn invalid_ipv4_address_is_reported() {
    check_mistake(
        r#"network "data"
service "web" {
    image "nginx"
    network "data" ipv4="10.0.0.300"
}"#,
        r#"
manifest::invalid_value

  × `10.0.0.300` is not an IPv4 address
   ╭─[cimandat.kdl:4:25]
 3 │     image "nginx"
 4 │     network "data" ipv4="10.0.0.300"
   ·                         ──────┬─────
   ·                               ╰── not an IPv4 address
 5 │ }
   ╰────

1 error
"#,
    );
}

#[test]
fn invalid_subnet_is_reported() {
    check_mistake(
        r#"network "data" subnet="10.0.0.0/33"
service "web" { image "nginx" }"#,
        r#"
manifest::invalid_value

  × `10.0.0.0/33` is not a range of addresses
   ╭─[cimandat.kdl:1:23]
 1 │ network "data" subnet="10.0.0.0/33"
   ·                       ──────┬──────
   ·                             ╰── not a range of addresses
 2 │ service "web" { image "nginx" }
   ╰────
  help: such as `10.20.0.0/16`

1 error
"#,
    );
}

#[test]
fn invalid_mac_address_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    mac-address "02:42"
}"#,
        r#"
manifest::invalid_value

  × `02:42` is not a hardware address
   ╭─[cimandat.kdl:3:17]
 2 │     image "nginx"
 3 │     mac-address "02:42"
   ·                 ───┬───
   ·                    ╰── not a hardware address
 4 │ }
   ╰────
  help: such as `02:42:ac:11:00:02`

1 error
"#,
    );
}

#[test]
fn invalid_regular_expression_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    ready { log "ready (in" }
}"#,
        r##"
manifest::invalid_regex

  × the regular expression does not parse: unclosed group
   ╭─[cimandat.kdl:3:17]
 2 │     image "nginx"
 3 │     ready { log "ready (in" }
   ·                 ─────┬─────
   ·                      ╰── not a regular expression
 4 │ }
   ╰────
  help: in a raw string, `#"\d+"#`, backslashes stand for themselves

1 error
"##,
    );
}

#[test]
fn invalid_status_codes_are_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    ready { http 80 status="2xx" }
}"#,
        r#"
manifest::invalid_value

  × `2xx` is not a set of status codes
   ╭─[cimandat.kdl:3:28]
 2 │     image "nginx"
 3 │     ready { http 80 status="2xx" }
   ·                            ──┬──
   ·                              ╰── not a set of status codes
 4 │ }
   ╰────
  help: such as `200` or `"200-299,304"`

1 error
"#,
    );
}

#[test]
fn invalid_verify_url_is_reported() {
    check_mistake(
        r#"service "web" { image "nginx" }
verify {
    http "localhost:3000"
}"#,
        r#"
manifest::invalid_value

  × `localhost:3000` is not an address
   ╭─[cimandat.kdl:3:10]
 2 │ verify {
 3 │     http "localhost:3000"
   ·          ────────┬───────
   ·                  ╰── not an address
 4 │ }
   ╰────
  help: a whole one, such as `http://localhost:3000/`

1 error
"#,
    );
}

#[test]
fn non_octal_mode_is_reported() {
    check_mistake(
        r#"secret "key" generate="hex"
service "web" {
    image "nginx"
    secret "key" mode=400
}"#,
        r#"
manifest::invalid_value

  × `400` is not a set of permissions
   ╭─[cimandat.kdl:4:23]
 3 │     image "nginx"
 4 │     secret "key" mode=400
   ·                       ─┬─
   ·                        ╰── not a set of permissions
 5 │ }
   ╰────
  help: permissions are written in octal: `mode=0o440`

1 error
"#,
    );
}

#[test]
fn relative_container_path_is_reported() {
    check_mistake(
        r#"volume "data"
service "web" {
    image "nginx"
    volume "data" "var/lib"
}"#,
        r#"
manifest::relative_path

  × `var/lib` is not an absolute path
   ╭─[cimandat.kdl:4:19]
 3 │     image "nginx"
 4 │     volume "data" "var/lib"
   ·                   ────┬────
   ·                       ╰── must start with `/`
 5 │ }
   ╰────
  help: paths inside a container are absolute

1 error
"#,
    );
}

#[test]
fn compose_volume_syntax_is_reported() {
    check_mistake(
        r#"volume "data"
service "web" {
    image "nginx"
    volume "./conf:/etc/nginx:ro"
}"#,
        r#"
manifest::invalid_value

  × `./conf:/etc/nginx:ro` is not a volume's name
   ╭─[cimandat.kdl:4:12]
 3 │     image "nginx"
 4 │     volume "./conf:/etc/nginx:ro"
   ·            ───────────┬──────────
   ·                       ╰── not a volume's name
 5 │ }
   ╰────
  help: write `bind "./conf" "/etc/nginx" read-only=#true`

1 error
"#,
    );
}

#[test]
fn unset_variable_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx:${TAG}"
}"#,
        r#"
manifest::unset_variable

  × variable `TAG` is not set
   ╭─[cimandat.kdl:2:18]
 1 │ service "web" {
 2 │     image "nginx:${TAG}"
   ·                  ───┬──
   ·                     ╰── not set
 3 │ }
   ╰────
  help: set it in the environment or in an env-file, or give it a default:
        `${TAG:-value}`

1 error
"#,
    );
}

#[test]
fn unset_required_variable_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx:${TAG:?name the release}"
}"#,
        r#"
manifest::unset_variable

  × variable `TAG` is required: name the release
   ╭─[cimandat.kdl:2:18]
 1 │ service "web" {
 2 │     image "nginx:${TAG:?name the release}"
   ·                  ────────────┬───────────
   ·                              ╰── not set
 3 │ }
   ╰────
  help: set `TAG` in the environment or in an env-file

1 error
"#,
    );
}

#[test]
fn malformed_variable_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx:${TAG"
}"#,
        r#"
manifest::interpolation

  × `${` has no closing `}`
   ╭─[cimandat.kdl:2:18]
 1 │ service "web" {
 2 │     image "nginx:${TAG"
   ·                  ──┬──
   ·                    ╰── here
 3 │ }
   ╰────
  help: close it with `}`, or write `$$` for a dollar sign

1 error
"#,
    );
}

#[test]
fn lone_dollar_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    label price="5$"
}"#,
        r#"
manifest::interpolation

  × a single `$` begins a variable, and none follows
   ╭─[cimandat.kdl:3:19]
 2 │     image "nginx"
 3 │     label price="5$"
   ·                   ┬
   ·                   ╰── here
 4 │ }
   ╰────
  help: write `$$` for a dollar sign

1 error
"#,
    );
}

#[test]
fn secret_in_label_is_reported() {
    check_mistake(
        r#"secret "key" generate="hex"
service "web" {
    image "nginx"
    label key="${secret:key}"
}"#,
        r#"
manifest::secret_not_allowed

  × the secret `key` is not allowed here
   ╭─[cimandat.kdl:4:15]
 3 │     image "nginx"
 4 │     label key="${secret:key}"
   ·               ───────┬───────
   ·                      ╰── this value is shown and recorded
 5 │ }
   ╰────
  help: secrets may stand in `env`, in headers and passwords of probes, in
        build arguments and in the `content` of a config; give programs a file
        with `secret "key"`

1 error
"#,
    );
}

#[test]
fn secret_length_property_is_reported() {
    check_mistake(
        r#"secret "key" generate="hex" length=32
service "web" { image "nginx" }"#,
        r#"
manifest::unknown_property

  × `secret` has no property `length`
   ╭─[cimandat.kdl:1:29]
 1 │ secret "key" generate="hex" length=32
   ·                             ───┬──
   ·                                ╰── unknown property
 2 │ service "web" { image "nginx" }
   ╰────
  help: its properties are `bytes=`, `env=`, `file=`, `generate=`

1 error
"#,
    );
}

#[test]
fn inverted_ulimit_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    ulimit "nofile" soft=2048 hard=1024
}"#,
        r#"
manifest::invalid_value

  × `2048` is not at most the hard limit 1024
   ╭─[cimandat.kdl:3:5]
 2 │     image "nginx"
 3 │     ulimit "nofile" soft=2048 hard=1024
   ·     ─────────────────┬─────────────────
   ·                      ╰── not at most the hard limit 1024
 4 │ }
   ╰────

1 error
"#,
    );
}
