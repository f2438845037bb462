//! Resources of a container: limits, reservations, devices.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::{
    context::LowerContext,
    map::pairs,
    node::{Node, Scalar, plain},
    reader::{Reader, texts, unknown_node},
    scalar::{ContainerPath, Processors, Read, invalid, whole},
};
use crate::{diagnostic::ValueError, span::Span, unit::ByteSize};

/// Upper bounds (`limit`).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Number of processors, 0.01 to 4096.
    pub cpus: Option<f64>,
    /// Maximum memory.
    pub memory: Option<ByteSize>,
    /// Maximum number of processes, 1 to 4194304.
    pub pids: Option<i64>,
}

/// Resources reserved for a container (`reserve`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reservation {
    /// Number of processors, 0.01 to 4096.
    pub cpus: Option<f64>,
    /// Reserved memory.
    pub memory: Option<ByteSize>,
    /// Devices by capability; includes the `gpus` of a service.
    pub devices: Vec<DeviceRequest>,
}

/// A device of the host (`device`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Span of the declaration.
    pub span: Span,
    /// Path on the host, absolute.
    pub source: String,
    /// Path in the container; the same as on the host if not given.
    pub target: Option<String>,
    /// Any of `r`, `w`, `m`.
    pub permissions: Option<String>,
}

/// A request for devices by capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRequest {
    /// Span of the declaration.
    pub span: Span,
    /// Device driver: `nvidia`, …
    pub driver: Option<String>,
    /// Number of devices; -1 means all. `None` means the devices in `ids`, or all if `ids` is
    /// empty.
    pub count: Option<i64>,
    /// IDs of the devices.
    pub ids: Vec<String>,
    /// Capabilities, all of which are required (`gpu`, …).
    pub capabilities: Vec<String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

/// A resource limit of a process (`ulimit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    /// Active limit; -1 means unlimited.
    pub soft: i64,
    /// Maximum of the soft limit; at least `soft`, or -1 for unlimited.
    pub hard: i64,
}

const ULIMIT: RangeInclusive<i128> = -1..=i64::MAX as i128;

/// Reads `limit`.
pub(super) fn limits(node: &Node, scope: &LowerContext<'_>) -> Limits {
    let mut reader = Reader::new(node, scope);
    let limits = Limits {
        cpus: reader.property::<Processors>("cpus").map(|cpus| cpus.0),
        memory: reader.property("memory"),
        pids: reader.number("pids", 1..=4_194_304),
    };
    reader.end();
    limits
}

/// Reads `reserve`.
pub(super) fn reservation(node: &Node, scope: &LowerContext<'_>) -> Reservation {
    let mut reader = Reader::new(node, scope);
    let mut reservation = Reservation {
        cpus: reader.property::<Processors>("cpus").map(|cpus| cpus.0),
        memory: reader.property("memory"),
        devices: Vec::new(),
    };
    for child in reader.children() {
        match child.name.value.as_str() {
            "device" => reservation.devices.push(device_request(child, scope)),
            _ => unknown_node(child, "`reserve`", &["device"], scope),
        }
    }
    reader.end();
    reservation
}

fn device_request(node: &Node, scope: &LowerContext<'_>) -> DeviceRequest {
    let mut reader = Reader::new(node, scope);
    let mut request = DeviceRequest {
        span: reader.span(),
        driver: reader.property("driver"),
        count: reader.raw("count").and_then(|scalar| count(scalar, scope)),
        ids: reader.property("id").into_iter().collect(),
        capabilities: reader.property("capability").into_iter().collect(),
        options: BTreeMap::new(),
    };
    for child in reader.children() {
        let mut inner = Reader::new(child, scope);
        match child.name.value.as_str() {
            "id" => request.ids.extend(texts(inner.all("an id"))),
            "capability" => request
                .capabilities
                .extend(texts(inner.all("a capability"))),
            "option" => {
                request.options.extend(pairs(child, scope));
                continue;
            }
            _ => {
                unknown_node(child, "`device`", &["capability", "id", "option"], scope);
                continue;
            }
        }
        inner.end();
    }
    reader.end();
    request
}

/// Reads `gpus "all"` or `gpus 2`.
pub(super) fn gpus(node: &Node, scope: &LowerContext<'_>) -> Option<DeviceRequest> {
    let mut reader = Reader::new(node, scope);
    let count = reader
        .needed("a number, or `\"all\"`")
        .map(|scalar| count(scalar, scope));
    let driver = reader.property("driver");
    let span = reader.span();
    reader.end();
    Some(DeviceRequest {
        span,
        driver,
        count: Some(count??),
        ids: Vec::new(),
        capabilities: vec!["gpu".to_owned()],
        options: BTreeMap::new(),
    })
}

fn count(scalar: &Scalar, scope: &LowerContext<'_>) -> Option<i64> {
    if plain(scalar) == Some("all") {
        return Some(-1);
    }
    whole(scalar, scope, "a number of devices", 1..=1024)
}

/// Reads `device SOURCE to= permissions=`.
pub(super) fn device(node: &Node, scope: &LowerContext<'_>) -> Option<Device> {
    let mut reader = Reader::new(node, scope);
    let source = reader.argument::<ContainerPath>("a device");
    let target = reader.property::<ContainerPath>("to").map(|path| path.0);
    let permissions = reader.raw("permissions").and_then(|scalar| {
        let letters = String::read(scalar, scope)?;
        let known = !letters.is_empty() && letters.chars().all(|letter| "rwm".contains(letter));
        if known {
            return Some(letters);
        }
        invalid(
            scalar,
            scope,
            "a set of permissions",
            Some("any of `r`, `w` and `m`"),
        )
    });
    let span = reader.span();
    reader.end();
    Some(Device {
        span,
        source: source?.value.0,
        target,
        permissions,
    })
}

/// Reads `ulimit NAME VALUE` or `ulimit NAME soft= hard=`.
pub(super) fn ulimit(node: &Node, scope: &LowerContext<'_>) -> Option<(String, Ulimit)> {
    let mut reader = Reader::new(node, scope);
    let name = reader.argument::<String>("a name, such as `\"nofile\"`");
    let both = reader.next();
    let both = both.map(|scalar| whole::<i64>(scalar, scope, "a limit", ULIMIT));
    let (soft, hard) = (reader.number("soft", ULIMIT), reader.number("hard", ULIMIT));
    if both.is_none() && node.property("soft").is_none() && node.property("hard").is_none() {
        reader.missing(
            "a limit",
            Some("`ulimit \"nofile\" 65536`, or `soft=` and `hard=`"),
        );
    }
    reader.end();
    let (soft, hard) = match both {
        Some(limit) => (soft.or(limit)?, hard.or(limit)?),
        None => (soft.or(hard)?, hard.or(soft)?),
    };
    if hard != -1 && (soft > hard || soft == -1) {
        scope.mistake(ValueError::Invalid {
            wanted: format!("at most the hard limit {hard}"),
            found: soft.to_string(),
            at: node.head(),
            help: None,
        });
        return None;
    }
    Some((name?.value, Ulimit { soft, hard }))
}
