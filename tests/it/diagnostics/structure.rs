//! Errors in structure: unknown, repeated, missing or misplaced nodes and properties.

use super::check_mistake;

#[test]
fn unknown_node_is_reported() {
    check_mistake(
        r#"service "web" {
    imgae "nginx"
    image "nginx"
}"#,
        r#"
manifest::unknown_node

  × there is no node `imgae` in a service
   ╭─[cimandat.kdl:2:5]
 1 │ service "web" {
 2 │     imgae "nginx"
   ·     ──┬──
   ·       ╰── unknown node
 3 │     image "nginx"
   ╰────
  help: did you mean `image`?

1 error
"#,
    );
}

#[test]
fn compose_spelling_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    depends_on "db"
}"#,
        r#"
manifest::unknown_node

  × there is no node `depends_on` in a service
   ╭─[cimandat.kdl:3:5]
 2 │     image "nginx"
 3 │     depends_on "db"
   ·     ─────┬────
   ·          ╰── unknown node
 4 │ }
   ╰────
  help: did you mean `depends-on`?

1 error
"#,
    );
}

#[test]
fn unknown_node_in_job_names_job() {
    check_mistake(
        r#"job "migrate" { image "nginx"; ports 1; }"#,
        r#"
manifest::unknown_node

  × there is no node `ports` in a job
   ╭─[cimandat.kdl:1:32]
 1 │ job "migrate" { image "nginx"; ports 1; }
   ·                                ──┬──
   ·                                  ╰── unknown node
   ╰────
  help: did you mean `port`?

1 error
"#,
    );
}

#[test]
fn compose_plural_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    ports "80:80"
    environment A="1"
}"#,
        r#"
manifest::unknown_node

  × there is no node `ports` in a service
   ╭─[cimandat.kdl:3:5]
 2 │     image "nginx"
 3 │     ports "80:80"
   ·     ──┬──
   ·       ╰── unknown node
 4 │     environment A="1"
   ╰────
  help: did you mean `port`?

manifest::unknown_node

  × there is no node `environment` in a service
   ╭─[cimandat.kdl:4:5]
 3 │     ports "80:80"
 4 │     environment A="1"
   ·     ─────┬─────
   ·          ╰── unknown node
 5 │ }
   ╰────
  help: did you mean `env`?

2 errors
"#,
    );
}

#[test]
fn colon_after_name_is_reported() {
    check_mistake(
        r#"service "web" {
    image: "nginx"
    image "nginx"
}"#,
        r#"
manifest::syntax

  × the name of a node has no colon
   ╭─[cimandat.kdl:2:10]
 1 │ service "web" {
 2 │     image: "nginx"
   ·          ┬
   ·          ╰── unexpected colon
 3 │     image "nginx"
   ╰────
  help: write `image "nginx"`

1 error
"#,
    );
}

#[test]
fn unknown_top_level_node_is_reported() {
    check_mistake(
        r#"serivce "web" { image "nginx" }"#,
        r#"
manifest::unknown_node

  × there is no node `serivce` in a manifest
   ╭─[cimandat.kdl:1:1]
 1 │ serivce "web" { image "nginx" }
   · ───┬───
   ·    ╰── unknown node
   ╰────
  help: did you mean `service`?

1 error
"#,
    );
}

#[test]
fn service_node_at_top_level_is_reported() {
    check_mistake(
        r#"image "nginx"
service "web" { image "nginx" }"#,
        r#"
manifest::unknown_node

  × there is no node `image` in a manifest
   ╭─[cimandat.kdl:1:1]
 1 │ image "nginx"
   · ──┬──
   ·   ╰── unknown node
 2 │ service "web" { image "nginx" }
   ╰────
  help: it belongs in the block of a `service`, a `template` or `defaults`

1 error
"#,
    );
}

#[test]
fn unknown_property_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    port 80 protcol="udp"
}"#,
        r#"
manifest::unknown_property

  × `port` has no property `protcol`
   ╭─[cimandat.kdl:3:13]
 2 │     image "nginx"
 3 │     port 80 protcol="udp"
   ·             ───┬───
   ·                ╰── unknown property
 4 │ }
   ╰────
  help: did you mean `protocol`?

1 error
"#,
    );
}

#[test]
fn shared_volume_with_snapshot_is_reported() {
    check_mistake(
        r#"volume "data" snapshot="before-update" shared=#true
service "web" { image "nginx" }"#,
        r#"
manifest::conflict

  × `snapshot=` and `shared=` exclude each other
   ╭─[cimandat.kdl:1:47]
 1 │ volume "data" snapshot="before-update" shared=#true
   ·                        ───────┬───────        ──┬──
   ·                               │                 ╰── conflicts with the other
   ·                               ╰── the other
 2 │ service "web" { image "nginx" }
   ╰────
  help: a volume is copied while no container writes to it

1 error
"#,
    );
}

#[test]
fn unrelated_property_lists_valid_ones() {
    check_mistake(
        r#"network "data" size=5
service "web" { image "nginx" }"#,
        r#"
manifest::unknown_property

  × `network` has no property `size`
   ╭─[cimandat.kdl:1:16]
 1 │ network "data" size=5
   ·                ──┬─
   ·                  ╰── unknown property
 2 │ service "web" { image "nginx" }
   ╰────
  help: its properties are `attachable=`, `driver=`, `external=`, `internal=`,
        `ipv6=`, `name=`, `service-names=`, `subnet=`

1 error
"#,
    );
}

#[test]
fn missing_argument_is_reported() {
    check_mistake(
        r#"service "web" {
    image
}"#,
        r#"
manifest::missing_argument

  × `image` needs an image, such as `"nginx:1.29"`
   ╭─[cimandat.kdl:2:5]
 1 │ service "web" {
 2 │     image
   ·     ──┬──
   ·       ╰── missing here
 3 │ }
   ╰────

1 error
"#,
    );
}

#[test]
fn extra_argument_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx" "latest"
}"#,
        r#"
manifest::extra_argument

  × `image` takes one argument
   ╭─[cimandat.kdl:2:19]
 1 │ service "web" {
 2 │     image "nginx" "latest"
   ·                   ────┬───
   ·                       ╰── one too many
 3 │ }
   ╰────

1 error
"#,
    );
}

#[test]
fn repeated_property_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    limit memory="1GiB" memory="2GiB"
}"#,
        r#"
manifest::repeated_property

  × the property `memory` is given twice
   ╭─[cimandat.kdl:3:25]
 2 │     image "nginx"
 3 │     limit memory="1GiB" memory="2GiB"
   ·           ───┬──        ───┬──
   ·              │             ╰── given again
   ·              ╰── first given here
 4 │ }
   ╰────
  help: leave one of them out

1 error
"#,
    );
}

#[test]
fn repeated_node_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    image "httpd"
}"#,
        r#"
manifest::repeated_node

  × `image` appears twice in service `web`
   ╭─[cimandat.kdl:3:5]
 1 │ service "web" {
 2 │     image "nginx"
   ·     ──────┬──────
   ·           ╰── first appears here
 3 │     image "httpd"
   ·     ──────┬──────
   ·           ╰── appears again
 4 │ }
   ╰────
  help: leave one of them out

1 error
"#,
    );
}

#[test]
fn repeated_variable_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    env A="1"
    env { A "2" }
}"#,
        r#"
manifest::repeated_node

  × `env A` appears twice in service `web`
   ╭─[cimandat.kdl:4:5]
 2 │     image "nginx"
 3 │     env A="1"
   ·     ────┬────
   ·         ╰── first appears here
 4 │     env { A "2" }
   ·     ─────┬─────
   ·          ╰── appears again
 5 │ }
   ╰────
  help: leave one of them out

1 error
"#,
    );
}

#[test]
fn unexpected_block_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx" { tag "1" }
}"#,
        r#"
manifest::unexpected_children

  × `image` has no children
   ╭─[cimandat.kdl:2:5]
 1 │ service "web" {
 2 │     image "nginx" { tag "1" }
   ·     ──┬──
   ·       ╰── has a block in braces
 3 │ }
   ╰────

1 error
"#,
    );
}

#[test]
fn gate_without_probe_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    ready timeout="5s"
}"#,
        r#"
manifest::missing_child

  × `ready` needs at least one probe
   ╭─[cimandat.kdl:3:5]
 2 │     image "nginx"
 3 │     ready timeout="5s"
   ·     ──┬──
   ·       ╰── is empty
 4 │ }
   ╰────
  help: such as `ready { http 8080 "/health" }` or `ready { started }`

1 error
"#,
    );
}

#[test]
fn unknown_probe_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    ready { htpp 80 }
}"#,
        r#"
manifest::unknown_node

  × there is no node `htpp` in `ready`
   ╭─[cimandat.kdl:3:13]
 2 │     image "nginx"
 3 │     ready { htpp 80 }
   ·             ──┬─
   ·               ╰── unknown node
 4 │ }
   ╰────
  help: did you mean `http`?

1 error
"#,
    );
}

#[test]
fn hook_without_command_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    post-start { env A="1" }
}"#,
        r#"
manifest::missing_child

  × `post-start` needs a command
   ╭─[cimandat.kdl:3:5]
 2 │     image "nginx"
 3 │     post-start { env A="1" }
   ·     ─────┬────
   ·          ╰── is empty
 4 │ }
   ╰────
  help: `post-start { command "prog" "arg" }`

1 error
"#,
    );
}

#[test]
fn unknown_annotation_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    (remov)port 80
}"#,
        r#"
manifest::unknown_annotation

  × `(remov)` is not allowed here
   ╭─[cimandat.kdl:3:6]
 2 │     image "nginx"
 3 │     (remov)port 80
   ·      ──┬──
   ·        ╰── unknown annotation
 4 │ }
   ╰────
  help: did you mean `(remove)`?

1 error
"#,
    );
}

#[test]
fn remove_without_inherited_value_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    (remove)port 80
}"#,
        r#"
manifest::nothing_to_remove

  × there is no inherited `port 80/tcp` to remove
   ╭─[cimandat.kdl:3:13]
 2 │     image "nginx"
 3 │     (remove)port 80
   ·             ───┬───
   ·                ╰── removes nothing
 4 │ }
   ╰────
  help: `(remove)` removes what a template, `defaults` or an earlier file sets

1 error
"#,
    );
}

#[test]
fn network_with_network_mode_is_reported() {
    check_mistake(
        r#"network "data"
service "web" {
    image "nginx"
    network "data"
    network-mode "host"
}"#,
        r#"
manifest::conflict

  × `network-mode` and `network` exclude each other
   ╭─[cimandat.kdl:5:5]
 3 │     image "nginx"
 4 │     network "data"
   ·     ───────┬──────
   ·            ╰── the other
 5 │     network-mode "host"
   ·     ─────────┬─────────
   ·              ╰── conflicts with the other
 6 │ }
   ╰────
  help: a container has its own network stack or another's

1 error
"#,
    );
}

#[test]
fn secret_with_two_sources_is_reported() {
    check_mistake(
        r#"secret "key" file="key" generate="hex"
service "web" { image "nginx" }"#,
        r#"
manifest::conflict

  × `file=` and `generate=` exclude each other
   ╭─[cimandat.kdl:1:34]
 1 │ secret "key" file="key" generate="hex"
   ·                   ──┬──          ──┬──
   ·                     │              ╰── conflicts with the other
   ·                     ╰── the other
 2 │ service "web" { image "nginx" }
   ╰────
  help: it comes from one place

1 error
"#,
    );
}

#[test]
fn secret_without_source_is_reported() {
    check_mistake(
        r#"secret "key"
service "web" { image "nginx" }"#,
        r#"
manifest::missing_argument

  × `secret` needs a source
   ╭─[cimandat.kdl:1:1]
 1 │ secret "key"
   · ──────┬─────
   ·       ╰── missing here
 2 │ service "web" { image "nginx" }
   ╰────
  help: one of `file=`, `env=`, `generate=`

1 error
"#,
    );
}

#[test]
fn two_image_sources_are_reported() {
    check_mistake(
        r#"service "db" { image "postgres" }
service "web" {
    image "nginx"
    image-of "db"
}"#,
        r#"
manifest::conflict

  × `image-of` and `image` exclude each other
   ╭─[cimandat.kdl:4:5]
 2 │ service "web" {
 3 │     image "nginx"
   ·     ──┬──
   ·       ╰── the other
 4 │     image-of "db"
   ·     ────┬───
   ·         ╰── conflicts with the other
 5 │ }
   ╰────
  help: the image comes from one place

1 error
"#,
    );
}

#[test]
fn watch_without_action_is_reported() {
    check_mistake(
        r#"service "web" {
    image "nginx"
    watch "./src"
}"#,
        r#"
manifest::missing_argument

  × `watch` needs `action=`
   ╭─[cimandat.kdl:3:5]
 2 │     image "nginx"
 3 │     watch "./src"
   ·     ──────┬──────
   ·           ╰── missing here
 4 │ }
   ╰────
  help: one of `sync`, `rebuild`, `restart`, `sync+restart`

1 error
"#,
    );
}
