//! placeholder while it is written
use anyhow::Result;
/// Runs the command.
pub fn run(_args: &crate::cli::Classify) -> Result<()> {
    anyhow::bail!("not yet")
}
