//! Values that the engine would refuse, refused before any request (`agreement` compares both).
#![expect(clippy::too_many_lines, reason = "messages are shown whole")]

use super::{check_mistake, load_files};

#[test]
fn overlapping_network_subnets_are_refused() {
    check_mistake(
        r#"network "a" subnet="10.20.0.0/16"
network "b" { subnet "10.20.7.0/24"; }
network "c" subnet="10.20.8.0/24" external=#true
service "web" { image "nginx" }
"#,
        r#"
manifest::subnet_clash

  × the ranges of the networks `a` and `b` overlap
   ╭─[cimandat.kdl:2:15]
 1 │ network "a" subnet="10.20.0.0/16"
   · ────────────────┬────────────────
   ·                 ╰── by this network
 2 │ network "b" { subnet "10.20.7.0/24"; }
   ·               ──────────┬──────────
   ·                         ╰── `10.20.7.0/24` is in use
 3 │ network "c" subnet="10.20.8.0/24" external=#true
   ╰────
  help: give one of them another range, such as `10.21.0.0/24`

1 error
"#,
    );
}

#[test]
fn second_ipv4_subnet_of_bridge_is_refused() {
    check_mistake(
        r#"network "a" {
    subnet "10.20.0.0/24"
    subnet "10.20.1.0/24"
    subnet "fd12::/64"
}
service "web" { image "nginx" }
"#,
        r#"
manifest::conflict

  × `10.20.0.0/24` and `10.20.1.0/24` exclude each other
   ╭─[cimandat.kdl:3:5]
 1 │ network "a" {
 2 │     subnet "10.20.0.0/24"
   ·     ──────────┬──────────
   ·               ╰── the other
 3 │     subnet "10.20.1.0/24"
   ·     ──────────┬──────────
   ·               ╰── conflicts with the other
 4 │     subnet "fd12::/64"
   ╰────
  help: a network of the driver `bridge` has one range of IPv4 addresses and
        one of IPv6

1 error
"#,
    );
}

#[test]
fn subnet_with_host_bits_is_refused() {
    check_mistake(
        r#"network "a" subnet="10.20.0.1/16"
service "web" { image "nginx" }
"#,
        r#"
manifest::invalid_value

  × `10.20.0.1/16` is not the first address of a range
   ╭─[cimandat.kdl:1:20]
 1 │ network "a" subnet="10.20.0.1/16"
   ·                    ───────┬──────
   ·                           ╰── not the first address of a range
 2 │ service "web" { image "nginx" }
   ╰────
  help: did you mean `10.20.0.0/16`?

1 error
"#,
    );
}

#[test]
fn range_and_gateway_outside_subnet_are_refused() {
    check_mistake(
        r#"network "a" {
    subnet "10.20.0.0/24" range="10.20.0.0/16" gateway="10.20.0.255"
}
service "web" { image "nginx" }
"#,
        r#"
manifest::invalid_value

  × `10.20.0.0/16` is not a part of `10.20.0.0/24`
   ╭─[cimandat.kdl:2:33]
 1 │ network "a" {
 2 │     subnet "10.20.0.0/24" range="10.20.0.0/16" gateway="10.20.0.255"
   ·                                 ───────┬──────
   ·                                        ╰── not a part of `10.20.0.0/24`
 3 │ }
   ╰────

manifest::invalid_value

  × `10.20.0.255` is not a host address in `10.20.0.0/24`
   ╭─[cimandat.kdl:2:56]
 1 │ network "a" {
 2 │     subnet "10.20.0.0/24" range="10.20.0.0/16" gateway="10.20.0.255"
   ·                                                        ──────┬──────
   ·                                                              ╰── not a host address in `10.20.0.0/24`
 3 │ }
   ╰────

2 errors
"#,
    );
}

#[test]
fn fixed_address_without_subnet_is_refused() {
    check_mistake(
        r#"network "a"
service "web" {
    image "nginx"
    network "a" ipv4="10.20.0.5"
}
"#,
        r#"
manifest::fixed_address

  × `10.20.0.5` cannot be an address in the network `a`: the network has no
  │ subnet
   ╭─[cimandat.kdl:4:5]
 3 │     image "nginx"
 4 │     network "a" ipv4="10.20.0.5"
   ·     ──────────────┬─────────────
   ·                   ╰── given here
 5 │ }
   ╰────
  help: declare it: `network "a" subnet="10.20.0.0/24"`

1 error
"#,
    );
}

#[test]
fn unusable_fixed_addresses_are_refused() {
    check_mistake(
        r#"network "a" { subnet "10.20.0.0/24" gateway="10.20.0.9"; }
service "web" { image "nginx"; network "a" ipv4="10.20.1.5"; }
service "db" { image "nginx"; network "a" ipv4="10.20.0.9"; }
service "cache" { image "nginx"; network "a" ipv4="10.20.0.255"; }
"#,
        r#"
manifest::fixed_address

  × `10.20.1.5` cannot be an address in the network `a`: it is outside of
  │ `10.20.0.0/24`
   ╭─[cimandat.kdl:2:32]
 1 │ network "a" { subnet "10.20.0.0/24" gateway="10.20.0.9"; }
 2 │ service "web" { image "nginx"; network "a" ipv4="10.20.1.5"; }
   ·                                ──────────────┬─────────────
   ·                                              ╰── given here
 3 │ service "db" { image "nginx"; network "a" ipv4="10.20.0.9"; }
   ╰────

manifest::fixed_address

  × `10.20.0.9` cannot be an address in the network `a`: the gateway has it
   ╭─[cimandat.kdl:3:31]
 2 │ service "web" { image "nginx"; network "a" ipv4="10.20.1.5"; }
 3 │ service "db" { image "nginx"; network "a" ipv4="10.20.0.9"; }
   ·                               ──────────────┬─────────────
   ·                                             ╰── given here
 4 │ service "cache" { image "nginx"; network "a" ipv4="10.20.0.255"; }
   ╰────

manifest::fixed_address

  × `10.20.0.255` cannot be an address in the network `a`: it is the first or
  │ the last one of the subnet
   ╭─[cimandat.kdl:4:34]
 3 │ service "db" { image "nginx"; network "a" ipv4="10.20.0.9"; }
 4 │ service "cache" { image "nginx"; network "a" ipv4="10.20.0.255"; }
   ·                                  ───────────────┬──────────────
   ·                                                 ╰── given here
   ╰────

3 errors
"#,
    );
}

#[test]
fn fixed_address_of_implicit_gateway_is_refused() {
    let check = |subnet: &str, ipv4: &str, is_taken: bool| {
        let text = format!(
            "network \"a\" {{ subnet {subnet}; }}\nservice \"web\" {{ image \"nginx\"; network \
             \"a\" ipv4=\"{ipv4}\"; }}\n"
        );
        let refused = load_files(&[("cimandat.kdl", &text)]).is_err();
        assert_eq!(refused, is_taken, "{text}");
    };
    let plain = r#""10.77.0.0/24""#;
    check(plain, "10.77.0.1", true);
    check(plain, "10.77.0.2", false);
    let upper = r#""10.77.0.0/24" range="10.77.0.128/25""#;
    check(upper, "10.77.0.1", false);
    check(upper, "10.77.0.128", true);
    let lower = r#""10.77.0.0/24" range="10.77.0.0/25""#;
    check(lower, "10.77.0.1", true);
    let given = r#""10.77.0.0/24" gateway="10.77.0.9""#;
    check(given, "10.77.0.1", false);
    check_mistake(
        r#"network "a" subnet="10.77.0.0/24"
service "web" { image "nginx"; network "a" ipv4="10.77.0.1"; }
"#,
        r#"
manifest::fixed_address

  × `10.77.0.1` cannot be an address in the network `a`: the engine gives it
  │ to the gateway
   ╭─[cimandat.kdl:2:32]
 1 │ network "a" subnet="10.77.0.0/24"
 2 │ service "web" { image "nginx"; network "a" ipv4="10.77.0.1"; }
   ·                                ──────────────┬─────────────
   ·                                              ╰── given here
   ╰────
  help: give another address to the container, or to the gateway (`gateway=`)

1 error
"#,
    );
}

#[test]
fn duplicate_fixed_address_is_refused() {
    check_mistake(
        r#"network "a" subnet="10.20.0.0/24"
service "web" { image "nginx"; network "a" ipv4="10.20.0.5"; }
service "db" { image "nginx"; network "a" ipv4="10.20.0.5"; }
"#,
        r#"
manifest::address_clash

  × `web` and `db` have the same address in the network `a`
   ╭─[cimandat.kdl:3:31]
 1 │ network "a" subnet="10.20.0.0/24"
 2 │ service "web" { image "nginx"; network "a" ipv4="10.20.0.5"; }
   ·                                ──────────────┬─────────────
   ·                                              ╰── first given here
 3 │ service "db" { image "nginx"; network "a" ipv4="10.20.0.5"; }
   ·                               ──────────────┬─────────────
   ·                                             ╰── `10.20.0.5` again
   ╰────
  help: give one of them another address, or leave it to the engine

1 error
"#,
    );
}

#[test]
fn service_names_differing_in_case_are_refused() {
    check_mistake(
        r#"service "web" { image "nginx" }
service "Web" { image "nginx" }
"#,
        r#"
manifest::name_clash

  × the names of the services `web` and `Web` differ only in case
   ╭─[cimandat.kdl:2:9]
 1 │ service "web" { image "nginx" }
   ·         ──┬──
   ·           ╰── first named here
 2 │ service "Web" { image "nginx" }
   ·         ──┬──
   ·           ╰── the same name
   ╰────
  help: a service's name is also a host name and part of an image name, which
        ignore case

1 error
"#,
    );
}

#[test]
fn port_clash_within_service_names_it_once() {
    check_mistake(
        r#"service "app" {
    image "nginx"
    port 8080
    port 8081
    port "127.0.0.1:8080:80"
}
"#,
        r#"
manifest::port_clash

  × port 8080/tcp of this host is published twice, by `app`
   ╭─[cimandat.kdl:5:5]
 2 │     image "nginx"
 3 │     port 8080
   ·     ────┬────
   ·         ╰── published by `app`
 4 │     port 8081
 5 │     port "127.0.0.1:8080:80"
   ·     ────────────┬───────────
   ·                 ╰── published again by `app`
 6 │ }
   ╰────
  help: publish one of them elsewhere: `port 8082 to=80 host-ip="127.0.0.1"`

1 error
"#,
    );
}

#[test]
fn names_invalid_in_image_references_are_refused() {
    check_mistake(
        r#"project "pp_-_test"
service "c___d" { image "nginx" }
service "e-" { image "nginx" }
"#,
        r#"
manifest::invalid_name

  × `_-_` is not allowed in the middle of the name `pp_-_test`
   ╭─[cimandat.kdl:1:9]
 1 │ project "pp_-_test"
   ·         ─────┬─────
   ·              ╰── not a project's name
 2 │ service "c___d" { image "nginx" }
   ╰────
  help: lowercase letters and digits, separated by `_`, `__` or any number of
        `-`

manifest::invalid_name

  × `___` is not allowed in the middle of the name `c___d`
   ╭─[cimandat.kdl:2:9]
 1 │ project "pp_-_test"
 2 │ service "c___d" { image "nginx" }
   ·         ───┬───
   ·            ╰── not a service's name
 3 │ service "e-" { image "nginx" }
   ╰────
  help: letters and digits, separated by `.`, `_`, `__` or any number of `-`

manifest::invalid_name

  × `-` is not allowed at the end of the name `e-`
   ╭─[cimandat.kdl:3:9]
 2 │ service "c___d" { image "nginx" }
 3 │ service "e-" { image "nginx" }
   ·         ──┬─
   ·           ╰── not a service's name
   ╰────
  help: letters and digits, separated by `.`, `_`, `__` or any number of `-`

3 errors
"#,
    );
}

#[test]
fn invalid_image_references_are_refused() {
    check_mistake(
        r#"service "web" { image "Nginx" }
service "db" { image "postgres:" }
service "cache" { image "redis@sha256:12" }
"#,
        r#"
manifest::invalid_name

  × `Nginx` is not an image: its name must be lowercase
   ╭─[cimandat.kdl:1:23]
 1 │ service "web" { image "Nginx" }
   ·                       ───┬───
   ·                          ╰── not an image
 2 │ service "db" { image "postgres:" }
   ╰────
  help: an image looks like `registry/name:tag` or `name@sha256:…`

manifest::invalid_name

  × `postgres:` is not an image: its tag is empty
   ╭─[cimandat.kdl:2:22]
 1 │ service "web" { image "Nginx" }
 2 │ service "db" { image "postgres:" }
   ·                      ─────┬─────
   ·                           ╰── not an image
 3 │ service "cache" { image "redis@sha256:12" }
   ╰────
  help: an image looks like `registry/name:tag` or `name@sha256:…`

manifest::invalid_name

  × `redis@sha256:12` is not an image: the part behind the `@` is not a digest
   ╭─[cimandat.kdl:3:25]
 2 │ service "db" { image "postgres:" }
 3 │ service "cache" { image "redis@sha256:12" }
   ·                         ────────┬────────
   ·                                 ╰── not an image
   ╰────
  help: an image looks like `registry/name:tag` or `name@sha256:…`

3 errors
"#,
    );
}

#[test]
fn one_letter_container_name_is_refused() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    container-name "w"
}
"#,
        r#"
manifest::invalid_name

  × `w` is shorter than 2 characters
   ╭─[cimandat.kdl:3:20]
 2 │     image "nginx"
 3 │     container-name "w"
   ·                    ─┬─
   ·                     ╰── not a container's name
 4 │ }
   ╰────
  help: letters, digits, `-`, `_` and `.`, beginning with a letter or a digit

1 error
"#,
    );
}

#[test]
fn invalid_extra_hosts_are_refused() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    extra-host "db:10.0.0.1"
    extra-host "cache" "cache.example"
    extra-host "mail" "[::1]"
    extra-host "none"
    build "." { extra-host "me" "host-gateway"; }
}
"#,
        r#"
manifest::invalid_value

  × `db:10.0.0.1` is not a host name
   ╭─[cimandat.kdl:3:16]
 2 │     image "nginx"
 3 │     extra-host "db:10.0.0.1"
   ·                ──────┬──────
   ·                      ╰── not a host name
 4 │     extra-host "cache" "cache.example"
   ╰────
  help: name and address are separate arguments: `"db" "10.0.0.1"`

manifest::invalid_value

  × `cache.example` is not an IP address
   ╭─[cimandat.kdl:4:24]
 3 │     extra-host "db:10.0.0.1"
 4 │     extra-host "cache" "cache.example"
   ·                        ───────┬───────
   ·                               ╰── not an IP address
 5 │     extra-host "mail" "[::1]"
   ╰────
  help: such as `10.0.0.5`, or `host-gateway`

manifest::invalid_value

  × `[::1]` is not an IP address
   ╭─[cimandat.kdl:5:23]
 4 │     extra-host "cache" "cache.example"
 5 │     extra-host "mail" "[::1]"
   ·                       ───┬───
   ·                          ╰── not an IP address
 6 │     extra-host "none"
   ╰────
  help: it has no brackets here: `"::1"`

manifest::missing_argument

  × `extra-host` needs an address for `none`
   ╭─[cimandat.kdl:6:5]
 5 │     extra-host "mail" "[::1]"
 6 │     extra-host "none"
   ·     ────────┬────────
   ·             ╰── missing here
 7 │     build "." { extra-host "me" "host-gateway"; }
   ╰────

manifest::invalid_value

  × `host-gateway` is not an IP address
   ╭─[cimandat.kdl:7:33]
 6 │     extra-host "none"
 7 │     build "." { extra-host "me" "host-gateway"; }
   ·                                 ───────┬──────
   ·                                        ╰── not an IP address
 8 │ }
   ╰────
  help: such as `10.0.0.5`

5 errors
"#,
    );
}

#[test]
fn values_invalid_for_engine_are_refused() {
    check_mistake(
        r#"volume "data" name="d"
network "edge" name="host"
service "web" {
    image "nginx"
    hostname "my web"
    dns "resolver"
    stop-signal "SIGTREM"
    network "edge" mac="01:42:ac:11:00:02"
}
"#,
        r#"
manifest::invalid_name

  × `d` is shorter than 2 characters
   ╭─[cimandat.kdl:1:20]
 1 │ volume "data" name="d"
   ·                    ─┬─
   ·                     ╰── not a volume's name
 2 │ network "edge" name="host"
   ╰────
  help: letters, digits, `-`, `_` and `.`, beginning with a letter or a digit

manifest::invalid_value

  × `host` is not a name for a network
   ╭─[cimandat.kdl:2:21]
 1 │ volume "data" name="d"
 2 │ network "edge" name="host"
   ·                     ───┬──
   ·                        ╰── not a name for a network
 3 │ service "web" {
   ╰────
  help: the engine has a network of this name itself

manifest::invalid_value

  × `my web` is not a host name
   ╭─[cimandat.kdl:5:14]
 4 │     image "nginx"
 5 │     hostname "my web"
   ·              ────┬───
   ·                  ╰── not a host name
 6 │     dns "resolver"
   ╰────

manifest::invalid_value

  × `resolver` is not an IP address
   ╭─[cimandat.kdl:6:9]
 5 │     hostname "my web"
 6 │     dns "resolver"
   ·         ─────┬────
   ·              ╰── not an IP address
 7 │     stop-signal "SIGTREM"
   ╰────
  help: such as `1.1.1.1`

manifest::invalid_value

  × `SIGTREM` is not a signal
   ╭─[cimandat.kdl:7:17]
 6 │     dns "resolver"
 7 │     stop-signal "SIGTREM"
   ·                 ────┬────
   ·                     ╰── not a signal
 8 │     network "edge" mac="01:42:ac:11:00:02"
   ╰────
  help: did you mean `SIGTERM`?

manifest::invalid_value

  × `01:42:ac:11:00:02` is not a unicast address
   ╭─[cimandat.kdl:8:24]
 7 │     stop-signal "SIGTREM"
 8 │     network "edge" mac="01:42:ac:11:00:02"
   ·                        ─────────┬─────────
   ·                                 ╰── not a unicast address
 9 │ }
   ╰────
  help: its second digit is `0`, `2`, `4`, `6`, `8`, `a`, `c` or `e`

6 errors
"#,
    );
}
