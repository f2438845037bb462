//! What can be chosen from where an argument has fixed words, and what is meant by each.

use clap::ValueEnum;

use crate::{
    command::{DataFormat, Picture},
    plan::DriftChoice,
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
pub(super) enum GraphFormat {
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

impl From<GraphFormat> for Picture {
    fn from(format: GraphFormat) -> Self {
        match format {
            GraphFormat::Text => Self::Text,
            GraphFormat::Dot => Self::Dot,
            GraphFormat::Mermaid => Self::Mermaid,
            GraphFormat::Json => Self::Json,
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
pub(super) enum DriftWish {
    /// They are put right, by the gentlest means
    #[default]
    Repair,
    /// Nothing is touched, and each difference is told
    Refuse,
}

impl From<DriftWish> for DriftChoice {
    fn from(wish: DriftWish) -> Self {
        match wish {
            DriftWish::Repair => Self::Repair,
            DriftWish::Refuse => Self::Refuse,
        }
    }
}
