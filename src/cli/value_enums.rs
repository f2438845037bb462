//! What can be chosen from where an argument has fixed words, and what is meant by each.

use clap::ValueEnum;

use crate::{
    command::{DataFormat, GraphFormat},
    plan::DriftPolicy,
    project::PullPolicy,
};

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
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
    /// For a terminal
    #[default]
    Text,
    /// The language of `GraphViz`
    Dot,
    /// The language of Mermaid
    Mermaid,
    /// For programs
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
    /// Each time
    Always,
    /// What is not there
    Missing,
    /// Not at all
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
    /// They are put right, by the gentlest means
    #[default]
    Repair,
    /// Nothing is touched, and each difference is told
    Refuse,
}

impl From<DriftArg> for DriftPolicy {
    fn from(wish: DriftArg) -> Self {
        match wish {
            DriftArg::Repair => Self::Repair,
            DriftArg::Refuse => Self::Refuse,
        }
    }
}
