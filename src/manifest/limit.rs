//! What a container may take: limits, reservations, devices.

use std::collections::BTreeMap;

use crate::{span::Span, unit::ByteSize};

/// Upper bounds (`limit`).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Processors; positive.
    pub cpus: Option<f64>,
    /// Memory.
    pub memory: Option<ByteSize>,
    /// Processes.
    pub pids: Option<i64>,
}

/// What is kept for a container (`reserve`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reservation {
    /// Processors; positive.
    pub cpus: Option<f64>,
    /// Memory.
    pub memory: Option<ByteSize>,
    /// Devices by what they can do; `gpus` in a service comes here too.
    pub devices: Vec<DeviceRequest>,
}

/// A device of the host (`device`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Where it is declared.
    pub span: Span,
    /// On the host, absolute.
    pub source: String,
    /// In the container; the same unless given.
    pub target: Option<String>,
    /// Any of `r`, `w`, `m`.
    pub permissions: Option<String>,
}

/// Devices asked for by what they can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRequest {
    /// Where it is declared.
    pub span: Span,
    /// `nvidia`, …
    pub driver: Option<String>,
    /// How many; -1: all; `None` when `ids` names them, or all.
    pub count: Option<i64>,
    /// Which.
    pub ids: Vec<String>,
    /// All of these (`gpu`, …).
    pub capabilities: Vec<String>,
    /// Of the driver.
    pub options: BTreeMap<String, String>,
}

/// A limit of a process (`ulimit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    /// What holds; -1: without limit.
    pub soft: i64,
    /// What it may be raised to; at least `soft`, or -1.
    pub hard: i64,
}
