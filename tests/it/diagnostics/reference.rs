//! Errors in references and in the consistency between nodes.

use super::check_mistake;

#[test]
fn duplicate_service_is_reported() {
    check_mistake(
        r#"service "web" { image "nginx" }
service "web" { image "httpd" }"#,
        r#"
manifest::duplicate

  × service `web` is declared twice
   ╭─[cimandat.kdl:2:1]
 1 │ service "web" { image "nginx" }
   · ──────┬──────
   ·       ╰── first declared here
 2 │ service "web" { image "httpd" }
   · ──────┬──────
   ·       ╰── declared again
   ╰────
  help: a second one in another file (`-f`) is laid over the first

1 error
"#,
    );
}

#[test]
fn service_and_job_with_same_name_are_reported() {
    check_mistake(
        r#"service "web" { image "nginx" }
job "web" { image "nginx" }"#,
        r#"
manifest::duplicate

  × job `web` is declared twice
   ╭─[cimandat.kdl:2:1]
 1 │ service "web" { image "nginx" }
   · ──────┬──────
   ·       ╰── first declared here
 2 │ job "web" { image "nginx" }
   · ────┬────
   ·     ╰── declared again
   ╰────
  help: a second one in another file (`-f`) is laid over the first

1 error
"#,
    );
}

#[test]
fn duplicate_network_is_reported() {
    check_mistake(
        r#"network "data"
network "data"
service "web" { image "nginx" }"#,
        r#"
manifest::duplicate

  × network `data` is declared twice
   ╭─[cimandat.kdl:2:1]
 1 │ network "data"
   · ───────┬──────
   ·        ╰── first declared here
 2 │ network "data"
   · ───────┬──────
   ·        ╰── declared again
 3 │ service "web" { image "nginx" }
   ╰────
  help: a second one in another file (`-f`) is laid over the first

1 error
"#,
    );
}

#[test]
fn unknown_service_is_reported() {
    check_mistake(
        r#"service "postgres" { image "postgres" }
service "web" {
    image "nginx"
    depends-on "postgre"
}"#,
        r#"
manifest::unknown_reference

  × service `postgre` is not declared
   ╭─[cimandat.kdl:4:16]
 3 │     image "nginx"
 4 │     depends-on "postgre"
   ·                ────┬────
   ·                    ╰── no such service
 5 │ }
   ╰────
  help: did you mean `postgres`?

1 error
"#,
    );
}

#[test]
fn unknown_network_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    network "data"
}"#,
        r#"
manifest::unknown_reference

  × network `data` is not declared
   ╭─[cimandat.kdl:3:5]
 2 │     image "nginx"
 3 │     network "data"
   ·     ───────┬──────
   ·            ╰── no such network
 4 │ }
   ╰────
  help: declare it at the top level: `network "data"`

1 error
"#,
    );
}

#[test]
fn unknown_volume_is_reported() {
    check_mistake(
        r#"volume "pages"
service "web" {
    image "nginx"
    volume "page" "/srv"
}"#,
        r#"
manifest::unknown_reference

  × volume `page` is not declared
   ╭─[cimandat.kdl:4:12]
 3 │     image "nginx"
 4 │     volume "page" "/srv"
   ·            ───┬──
   ·               ╰── no such volume
 5 │ }
   ╰────
  help: did you mean `pages`?

1 error
"#,
    );
}

#[test]
fn unknown_secret_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    env KEY="${secret:key}"
    secret "key"
}"#,
        r#"
manifest::unknown_reference

  × secret `key` is not declared
   ╭─[cimandat.kdl:3:13]
 2 │     image "nginx"
 3 │     env KEY="${secret:key}"
   ·             ───────┬───────
   ·                    ╰── no such secret
 4 │     secret "key"
   ╰────
  help: declare it at the top level: `secret "key" generate="alphanumeric"`

manifest::unknown_reference

  × secret `key` is not declared
   ╭─[cimandat.kdl:4:12]
 3 │     env KEY="${secret:key}"
 4 │     secret "key"
   ·            ──┬──
   ·              ╰── no such secret
 5 │ }
   ╰────
  help: declare it at the top level: `secret "key" generate="alphanumeric"`

2 errors
"#,
    );
}

#[test]
fn unknown_config_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    config "site"
}"#,
        r#"
manifest::unknown_reference

  × config `site` is not declared
   ╭─[cimandat.kdl:3:12]
 2 │     image "nginx"
 3 │     config "site"
   ·            ───┬──
   ·               ╰── no such config
 4 │ }
   ╰────
  help: declare it at the top level: `config "site" file="…"`

1 error
"#,
    );
}

#[test]
fn unknown_certificate_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    certificate "web" "/run/certs"
}"#,
        r#"
manifest::unknown_reference

  × certificate `web` is not declared
   ╭─[cimandat.kdl:3:17]
 2 │     image "nginx"
 3 │     certificate "web" "/run/certs"
   ·                 ──┬──
   ·                   ╰── no such certificate
 4 │ }
   ╰────
  help: declare it at the top level: `certificate "web" host="…"`

1 error
"#,
    );
}

#[test]
fn unknown_template_is_reported() {
    check_mistake(
        r#"template "hardened" { read-only #true }
service "web" {
    image "nginx"
    use "hardend"
}"#,
        r#"
manifest::unknown_reference

  × template `hardend` is not declared
   ╭─[cimandat.kdl:4:9]
 3 │     image "nginx"
 4 │     use "hardend"
   ·         ────┬────
   ·             ╰── no such template
 5 │ }
   ╰────
  help: did you mean `hardened`?

1 error
"#,
    );
}

#[test]
fn unknown_image_source_is_reported() {
    check_mistake(
        r#"service "web" { image-of "backend" }"#,
        r#"
manifest::unknown_reference

  × service `backend` is not declared
   ╭─[cimandat.kdl:1:26]
 1 │ service "web" { image-of "backend" }
   ·                          ────┬────
   ·                              ╰── no such service
   ╰────
  help: declare it at the top level: `service "backend" { … }`

1 error
"#,
    );
}

#[test]
fn unknown_service_in_verify_is_reported() {
    check_mistake(
        r#"service "web" { image "nginx" }
verify {
    unreachable "database" 5432
}"#,
        r#"
manifest::unknown_reference

  × service `database` is not declared
   ╭─[cimandat.kdl:3:17]
 2 │ verify {
 3 │     unreachable "database" 5432
   ·                 ─────┬────
   ·                      ╰── no such service
 4 │ }
   ╰────
  help: declare it at the top level: `service "database" { … }`

1 error
"#,
    );
}

#[test]
fn dependency_cycle_is_reported() {
    check_mistake(
        r#"service "a" {
    image "x"
    depends-on "b"
}
service "b" {
    image "x"
    depends-on "c"
}
service "c" {
    image "x"
    network-mode "service:a"
}"#,
        r#"
manifest::dependency_cycle

  × services wait for one another: `a` → `b` → `c` → `a`
    ╭─[cimandat.kdl:3:16]
  2 │     image "x"
  3 │     depends-on "b"
    ·                ─┬─
    ·                 ╰── `a` waits for `b`
  4 │ }
  5 │ service "b" {
  6 │     image "x"
  7 │     depends-on "c"
    ·                ─┬─
    ·                 ╰── `b` waits for `c`
  8 │ }
  9 │ service "c" {
 10 │     image "x"
 11 │     network-mode "service:a"
    ·                  ─────┬─────
    ·                       ╰── `c` shares the network of `a`
 12 │ }
    ╰────
  help: remove one of these `depends-on`

1 error
"#,
    );
}

#[test]
fn self_dependency_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    depends-on "web"
}"#,
        r#"
manifest::self_dependency

  × `web` depends on itself
   ╭─[cimandat.kdl:3:16]
 2 │     image "nginx"
 3 │     depends-on "web"
   ·                ──┬──
   ·                  ╰── its own name
 4 │ }
   ╰────
  help: remove it from `depends-on`

1 error
"#,
    );
}

#[test]
fn template_cycle_is_reported() {
    check_mistake(
        r#"template "a" { use "b" }
template "b" { use "a" }
service "web" {
    image "nginx"
    use "a"
}"#,
        r#"
manifest::template_cycle

  × templates use one another: `a` → `b` → `a`
   ╭─[cimandat.kdl:1:20]
 1 │ template "a" { use "b" }
   ·                    ─┬─
   ·                     ╰── `a` uses `b`
 2 │ template "b" { use "a" }
   ·                    ─┬─
   ·                     ╰── `b` uses `a`
 3 │ service "web" {
   ╰────
  help: remove one of these `use`

1 error
"#,
    );
}

#[test]
fn image_cycle_is_reported() {
    check_mistake(
        r#"service "a" { image-of "b" }
service "b" { image-of "a" }"#,
        r#"
manifest::image_cycle

  × services take their image from one another: `a` → `b` → `a`
   ╭─[cimandat.kdl:1:24]
 1 │ service "a" { image-of "b" }
   ·                        ─┬─
   ·                         ╰── `a` has the image of `b`
 2 │ service "b" { image-of "a" }
   ·                        ─┬─
   ·                         ╰── `b` has the image of `a`
   ╰────
  help: one of them has to say `image` or `build`

1 error
"#,
    );
}

#[test]
fn image_of_itself_is_reported() {
    check_mistake(
        r#"service "a" { image-of "a" }"#,
        r#"
manifest::own_image

  × `a` takes its image from itself
   ╭─[cimandat.kdl:1:24]
 1 │ service "a" { image-of "a" }
   ·                        ─┬─
   ·                         ╰── its own name
   ╰────
  help: name another service, or say `image` or `build`

1 error
"#,
    );
}

#[test]
fn duplicate_port_is_reported() {
    check_mistake(
        r#"service "one" {
    image "nginx"
    port 8080 to=80
}
service "two" {
    image "nginx"
    port "127.0.0.1:8080:80"
}"#,
        r#"
manifest::port_clash

  × port 8080/tcp of this host is published twice, by `one` and by `two`
   ╭─[cimandat.kdl:7:5]
 2 │     image "nginx"
 3 │     port 8080 to=80
   ·     ───────┬───────
   ·            ╰── published by `one`
 4 │ }
 5 │ service "two" {
 6 │     image "nginx"
 7 │     port "127.0.0.1:8080:80"
   ·     ────────────┬───────────
   ·                 ╰── published again by `two`
 8 │ }
   ╰────
  help: publish one of them elsewhere: `port 8081 to=80 host-ip="127.0.0.1"`

1 error
"#,
    );
}

#[test]
fn duplicate_container_name_is_reported() {
    check_mistake(
        r#"service "one" {
    image "nginx"
    container-name "web"
}
service "two" {
    image "nginx"
    container-name "web"
}"#,
        r#"
manifest::container_name_clash

  × two services name their container `web`
   ╭─[cimandat.kdl:7:20]
 2 │     image "nginx"
 3 │     container-name "web"
   ·                    ──┬──
   ·                      ╰── first named here
 4 │ }
 5 │ service "two" {
 6 │     image "nginx"
 7 │     container-name "web"
   ·                    ──┬──
   ·                      ╰── named again
 8 │ }
   ╰────
  help: a container's name is unique

1 error
"#,
    );
}

#[test]
fn duplicate_mount_is_reported() {
    check_mistake(
        r#"volume "data"
service "web" {
    image "nginx"
    volume "data" "/srv"
    tmpfs "/srv/"
}"#,
        r#"
manifest::mount_clash

  × two files or mounts have the target `/srv` in service `web`
   ╭─[cimandat.kdl:5:5]
 3 │     image "nginx"
 4 │     volume "data" "/srv"
   ·     ──────────┬─────────
   ·               ╰── first used here
 5 │     tmpfs "/srv/"
   ·     ──────┬──────
   ·           ╰── used again
 6 │ }
   ╰────
  help: remove one of them, or change its target

1 error
"#,
    );
}

#[test]
fn duplicate_file_target_is_reported() {
    check_mistake(
        r#"secret "a" generate="hex"
secret "b" generate="hex"
service "web" {
    image "nginx"
    secret "a" target="key"
    secret "b" target="key"
}"#,
        r#"
manifest::mount_clash

  × two files or mounts have the target `/run/secrets/key` in `web`
   ╭─[cimandat.kdl:6:12]
 4 │     image "nginx"
 5 │     secret "a" target="key"
   ·            ─┬─
   ·             ╰── first used here
 6 │     secret "b" target="key"
   ·            ─┬─
   ·             ╰── used again
 7 │ }
   ╰────
  help: remove one of them, or change its target

1 error
"#,
    );
}

#[test]
fn container_name_with_replicas_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    container-name "web"
    replicas 3
}"#,
        r#"
manifest::not_with_replicas

  × `web` has 3 replicas, and only one of them can have the name `web`
   ╭─[cimandat.kdl:3:20]
 2 │     image "nginx"
 3 │     container-name "web"
   ·                    ──┬──
   ·                      ╰── for one container only
 4 │     replicas 3
   ·              ┬
   ·              ╰── 3 containers
 5 │ }
   ╰────

1 error
"#,
    );
}

#[test]
fn single_port_with_replicas_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    port 80
    replicas 3
}"#,
        r#"
manifest::not_with_replicas

  × `web` has 3 replicas, and only one of them can have port 80 of this host
   ╭─[cimandat.kdl:3:5]
 2 │     image "nginx"
 3 │     port 80
   ·     ───┬───
   ·        ╰── for one container only
 4 │     replicas 3
   ·              ┬
   ·              ╰── 3 containers
 5 │ }
   ╰────
  help: give each replica a port of a range: `port "80-82" to=80`, or let the
        engine choose: `port 0 to=80`

1 error
"#,
    );
}

#[test]
fn port_range_pair_with_replicas_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    port "3000-3001:3000-3001"
    replicas 2
}"#,
        r#"
manifest::not_with_replicas

  × `web` has 2 replicas, and only one of them can have port 3000 of this host
   ╭─[cimandat.kdl:3:5]
 2 │     image "nginx"
 3 │     port "3000-3001:3000-3001"
   ·     ─────────────┬────────────
   ·                  ╰── for one container only
 4 │     replicas 2
   ·              ┬
   ·              ╰── 2 containers
 5 │ }
   ╰────
  help: publish each port of the container with a range that has a port for
        each replica: `port "3000-3001" to=3000`, or let the engine choose:
        `port 0 to=3000`

1 error
"#,
    );
}

#[test]
fn port_range_shorter_than_replicas_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    port "8081-8083:80"
    replicas 4
}
service "last" {
    image "nginx"
    port "65534-65535" to=80 host-ip="::1"
    replicas 3
}"#,
        r#"
manifest::too_few_ports

  × `web` has 4 replicas and only 3 ports for them
   ╭─[cimandat.kdl:3:5]
 2 │     image "nginx"
 3 │     port "8081-8083:80"
   ·     ─────────┬─────────
   ·              ╰── 3 ports, one for each replica
 4 │     replicas 4
   ·              ┬
   ·              ╰── 4 replicas
 5 │ }
   ╰────
  help: this range is long enough: `port "8081-8084" to=80`

manifest::too_few_ports

  × `last` has 3 replicas and only 2 ports for them
    ╭─[cimandat.kdl:8:5]
  7 │     image "nginx"
  8 │     port "65534-65535" to=80 host-ip="::1"
    ·     ───────────────────┬──────────────────
    ·                        ╰── 2 ports, one for each replica
  9 │     replicas 3
    ·              ┬
    ·              ╰── 3 replicas
 10 │ }
    ╰────
  help: this range is long enough: `port "65533-65535" to=80 host-ip="::1"`

2 errors
"#,
    );
}

#[test]
fn port_within_other_range_is_reported() {
    check_mistake(
        r#"service "one" {
    image "nginx"
    port "8081-8090:80"
    replicas 3
}
service "two" {
    image "nginx"
    port 8083 to=80
}
service "three" {
    image "nginx"
    port 8084 to=80
}
service "four" {
    image "nginx"
    port "8080-8081" to=80
    replicas 2
}"#,
        r#"
manifest::port_clash

  × port 8083/tcp of this host is published twice, by `one` and by `two`
   ╭─[cimandat.kdl:3:5]
 2 │     image "nginx"
 3 │     port "8081-8090:80"
   ·     ─────────┬─────────
   ·              ╰── published by `one`
 4 │     replicas 3
   ╰────
   ╭─[cimandat.kdl:8:5]
 7 │     image "nginx"
 8 │     port 8083 to=80
   ·     ───────┬───────
   ·            ╰── published again by `two`
 9 │ }
   ╰────
  help: publish one of them elsewhere: `port 8085 to=80`

manifest::port_clash

  × port 8081/tcp of this host is published twice, by `one` and by `four`
   ╭─[cimandat.kdl:3:5]
 2 │     image "nginx"
 3 │     port "8081-8090:80"
   ·     ─────────┬─────────
   ·              ╰── published by `one`
 4 │     replicas 3
   ╰────
    ╭─[cimandat.kdl:16:5]
 15 │     image "nginx"
 16 │     port "8080-8081" to=80
    ·     ───────────┬──────────
    ·                ╰── published again by `four`
 17 │     replicas 2
    ╰────
  help: publish one of them elsewhere: `port "8085-8086" to=80`

2 errors
"#,
    );
}

#[test]
fn service_without_image_is_reported() {
    check_mistake(
        r#"service "web" {
    port 80
}"#,
        r#"
manifest::no_image

  × service `web` has no image
   ╭─[cimandat.kdl:1:9]
 1 │ service "web" {
   ·         ──┬──
   ·           ╰── from which image?
 2 │     port 80
   ╰────
  help: say `image "name:tag"`, `build "folder"` or `image-of "service"`

1 error
"#,
    );
}

#[test]
fn restart_in_job_is_reported() {
    check_mistake(
        r#"job "migrate" {
    image "app"
    restart "always"
}"#,
        r#"
manifest::not_for_jobs

  × a job has no `restart`
   ╭─[cimandat.kdl:3:5]
 2 │     image "app"
 3 │     restart "always"
   ·     ────────┬───────
   ·             ╰── not in a job
 4 │ }
   ╰────
  help: a job runs once and ends; a `service` keeps running

1 error
"#,
    );
}

#[test]
fn until_completed_on_service_is_reported() {
    check_mistake(
        r#"service "db" { image "postgres" }
service "web" {
    image "nginx"
    depends-on "db" until="completed"
}"#,
        r#"
manifest::never_completes

  × `db` is a service, which keeps running and never completes
   ╭─[cimandat.kdl:4:16]
 3 │     image "nginx"
 4 │     depends-on "db" until="completed"
   ·                ──┬─
   ·                  ╰── waits for its end
 5 │ }
   ╰────
  help: declare it as `job "db"`, or wait `until="ready"`

1 error
"#,
    );
}
