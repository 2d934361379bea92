//! The arguments of commands that take a configuration.

use std::path::PathBuf;

use crate::config::Config;

use super::Faulty;

/// Where the configuration is and what goes over it.
#[derive(Clone, Debug, clap::Args)]
pub struct Configured {
    /// The configuration (examples/lobtape.toml documents every key).
    #[arg(short = 'c', long = "config", value_name = "FILE", env = "LOBTAPE_CONFIG")]
    pub config: PathBuf,
    /// Sets one key, over the file and over LOBTAPE_… variables; may be repeated.
    #[arg(long = "set", value_name = "TABLE.KEY=VALUE")]
    pub set: Vec<String>,
}

impl Configured {
    /// Reads and checks it.
    ///
    /// # Errors
    /// With code 1, naming file and line, variable or flag.
    pub fn load(&self) -> anyhow::Result<Config> {
        Config::load(&self.config, &self.set).or_usage()
    }
}
