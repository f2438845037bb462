//! Enumerated argument values, and their conversion to domain types.

use clap::ValueEnum;

use crate::{
    command::{DataFormat, GraphFormat},
    plan::DriftPolicy,
    project::PullPolicy,
};

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum Format {
    /// Human-readable
    #[default]
    Text,
    /// Machine-readable
    Json,
}

impl From<Format> for DataFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Json => Self::Json,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum GraphFormatArg {
    /// Human-readable
    #[default]
    Text,
    /// `Graphviz` DOT
    Dot,
    /// Mermaid
    Mermaid,
    /// Machine-readable
    Json,
}

impl From<GraphFormatArg> for GraphFormat {
    fn from(format: GraphFormatArg) -> Self {
        match format {
            GraphFormatArg::Text => Self::Text,
            GraphFormatArg::Dot => Self::Dot,
            GraphFormatArg::Mermaid => Self::Mermaid,
            GraphFormatArg::Json => Self::Json,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum PullChoice {
    /// Always pull
    Always,
    /// Pull missing images
    Missing,
    /// Never pull
    Never,
}

impl From<PullChoice> for PullPolicy {
    fn from(choice: PullChoice) -> Self {
        match choice {
            PullChoice::Always => Self::Always,
            PullChoice::Missing => Self::Missing,
            PullChoice::Never => Self::Never,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum DriftArg {
    /// Repair it, in place where possible
    #[default]
    Repair,
    /// Change nothing and report each difference
    Error,
}

impl From<DriftArg> for DriftPolicy {
    fn from(wish: DriftArg) -> Self {
        match wish {
            DriftArg::Repair => Self::Repair,
            DriftArg::Error => Self::Error,
        }
    }
}
