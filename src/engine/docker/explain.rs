//! Explanations of the engine's error messages, placed in front of the original message.
//!
//! The messages quote calls between the engine's components and paths of the engine's host. The
//! part that matters to a user is a word or two in the middle.

/// Returns an error message of the engine, with an explanation in front if one is known.
pub(super) fn explained(message: String) -> String {
    match meaning(&message) {
        Some(meaning) => format!("{meaning}; the engine says: {message}"),
        None => message,
    }
}

fn meaning(message: &str) -> Option<String> {
    mount(message)
        .or_else(|| program(message))
        .or_else(|| setting(message))
        .or_else(|| internal(message))
}

fn mount(message: &str) -> Option<String> {
    if let Some(path) = between(message, "creating mount source path '", "'") {
        return Some(format!(
            "the folder `{path}` cannot be created on the engine's host"
        ));
    }
    let source = between(message, "error mounting \"", "\"")?;
    let target = between(message, "to rootfs at \"", "\"")?;
    let what = if is_internal(source) {
        format!("nothing can be mounted at `{target}`")
    } else {
        format!("`{source}` of the host cannot be mounted at `{target}`")
    };
    let why = if message.contains("not a directory") || message.contains("is a directory") {
        ": one is a folder and the other a file"
    } else if message.contains("read-only file system") {
        ": the mount point does not exist, and the parent is read-only"
    } else if message.contains("inside /proc") {
        ": nothing may be mounted inside `/proc`"
    } else {
        ""
    };
    Some(format!("{what}{why}"))
}

fn program(message: &str) -> Option<String> {
    let name = between(message, "exec: \"", "\"")?;
    Some(if message.contains("executable file not found") {
        format!("the image has no program `{name}`, or it is not in its `PATH`")
    } else if message.contains("no such file or directory") {
        format!("the image has no file `{name}`, or lacks the interpreter that it names")
    } else if message.contains("permission denied") {
        format!("`{name}` of the image is not executable")
    } else if message.contains("exec format error") {
        format!("`{name}` is made for another kind of processor, or is a script without `#!`")
    } else {
        format!("the program `{name}` cannot be run")
    })
}

fn setting(message: &str) -> Option<String> {
    if let Some(user) = between(message, "unable to find user ", ":") {
        return Some(format!("the image has no user `{user}`"));
    }
    if let Some(group) = between(message, "unable to find group ", ":") {
        return Some(format!("the image has no group `{group}`"));
    }
    if let Some(device) = between(message, "adding custom device \"", "\"") {
        return Some(format!("the engine's host has no device `{device}`"));
    }
    if let Some(folder) = between(message, "Cannot mkdir: ", " is not a directory") {
        return Some(format!(
            "the working folder `{folder}` is a file in the image"
        ));
    }
    if let Some(path) = between(message, "open /proc/sys/", ":") {
        let name = path.replace('/', ".");
        return Some(format!("the container's kernel has no setting `{name}`"));
    }
    message
        .contains("error setting rlimit")
        .then(|| "the engine may not set a `ulimit` as high as that".to_owned())
}

/// Explains any other message that mentions the engine's own files.
fn internal(message: &str) -> Option<String> {
    let mut words = message.split(|it: char| it.is_whitespace() || matches!(it, '"' | '\'' | '`'));
    words
        .any(is_internal)
        .then(|| "internal error of the engine".to_owned())
}

/// Returns whether a path is one of the engine's own files.
fn is_internal(path: &str) -> bool {
    [
        "/var/lib/docker",
        "/var/lib/containerd",
        "/run/containerd",
        "/var/run/docker/",
    ]
    .iter()
    .any(|own| path.starts_with(own))
}

/// Returns the text between a phrase and the next occurrence of `end`.
fn between<'a>(message: &'a str, phrase: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(phrase)?;
    let (found, _) = rest.split_once(end)?;
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNTIME: &str = "failed to create task for container: failed to create shim task: OCI \
                           runtime create failed: runc create failed: unable to start container \
                           process: ";

    /// Checks the explanation of a message, as engine 28.5 writes it.
    fn check(message: &str, expected: &str) {
        assert_eq!(meaning(message).as_deref(), Some(expected), "{message}");
        assert!(explained(message.to_owned()).ends_with(message));
    }

    #[test]
    fn start_failures_name_what_the_image_lacks() {
        let run = |cause: &str| format!("{RUNTIME}{cause}");
        check(
            &run("exec: \"nosuch\": executable file not found in $PATH"),
            "the image has no program `nosuch`, or it is not in its `PATH`",
        );
        check(
            &run("exec: \"/nosuch/x\": stat /nosuch/x: no such file or directory"),
            "the image has no file `/nosuch/x`, or lacks the interpreter that it names",
        );
        check(
            &run("exec: \"/etc/hostname\": permission denied"),
            "`/etc/hostname` of the image is not executable",
        );
        check(
            "unable to find user nobodyx: no matching entries in passwd file",
            "the image has no user `nobodyx`",
        );
        check(
            "Cannot mkdir: /etc/passwd is not a directory",
            "the working folder `/etc/passwd` is a file in the image",
        );
    }

    #[test]
    fn mount_failures_name_both_ends() {
        let mount = |cause: &str| format!("{RUNTIME}error during container init: {cause}");
        check(
            &mount(
                "error mounting \"/home/me/site.conf\" to rootfs at \"/etc\": mount \
                 /home/me/site.conf:/etc (via /proc/self/fd/6), flags: 0x5000: not a directory: Are \
                 you trying to mount a directory onto a file (or vice-versa)?",
            ),
            "`/home/me/site.conf` of the host cannot be mounted at `/etc`: one is a folder and the \
             other a file",
        );
        check(
            &mount(
                "error mounting \"/tmp/f\" to rootfs at \"/x/y\": mkdir \
                 /var/lib/docker/overlay2/0d64/merged/x: read-only file system",
            ),
            "`/tmp/f` of the host cannot be mounted at `/x/y`: the mount point does not exist, and the \
             parent is read-only",
        );
        check(
            &mount(
                "error mounting \"/var/lib/docker/volumes/a/_data\" to rootfs at \"/etc/passwd\": \
                 not a directory",
            ),
            "nothing can be mounted at `/etc/passwd`: one is a folder and the other a file",
        );
        check(
            "error while creating mount source path '/proc/x/y': mkdir /proc/x: no such file",
            "the folder `/proc/x/y` cannot be created on the engine's host",
        );
    }

    #[test]
    fn host_settings_are_named() {
        check(
            "error gathering device information while adding custom device \"/dev/nosuch\": no \
             such file or directory",
            "the engine's host has no device `/dev/nosuch`",
        );
        check(
            "error during container init: open /proc/sys/net/nosuch/x: no such file or directory",
            "the container's kernel has no setting `net.nosuch.x`",
        );
        check(
            "mkdir /var/lib/docker/tmp: input/output error",
            "internal error of the engine",
        );
    }

    #[test]
    fn unknown_messages_are_unchanged() {
        let message = "Minimum memory limit allowed is 6MB";
        assert_eq!(explained(message.to_owned()), message);
    }
}
