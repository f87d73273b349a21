//! What can stop a run.

use std::path::{Path, PathBuf};

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the training loop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the run folder could not be read or written.
    #[error(
        "cannot {action} `{path}`: {source}\nhint: the last complete checkpoint is untouched; free space or mend the path, then go on with `--resume`"
    )]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The loss is no longer a number.
    #[error(
        "the {what} of step {step} is {value}\nhint: lower the learning rate or the gradient norm limit, and start again in another folder"
    )]
    NonFinite {
        /// Loss or gradient norm.
        what: &'static str,
        /// The step, from 1.
        step: u64,
        /// The value.
        value: f64,
    },
    /// A trainable tensor gets no gradient.
    #[error(
        "the tensor `{tensor}` is to be trained but the session's first step gives it {what}\nhint: check the data and what is chosen to be trained, or freeze the tensor; `lora_A` is exempt while its `lora_B` is zero"
    )]
    Gradient {
        /// The tensor.
        tensor: String,
        /// No gradient, or a non-finite one.
        what: &'static str,
    },
    /// A checkpoint does not belong to this run.
    #[error(
        "the checkpoint `{path}` cannot be resumed: {reason}\nhint: resume with the recipe, the data and the base model that started the run"
    )]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file of a study cannot be used.
    #[error("the study `{path}` cannot be used: {reason}\nhint: search in another folder, or remove it to begin anew")]
    Study {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Nothing to train.
    #[error("nothing is trainable: {0}\nhint: name target modules that the model has, or train it whole")]
    Nothing(&'static str),
    /// Another process of this run failed, and says so itself.
    #[error("rank {rank} failed: {reason}")]
    Elsewhere {
        /// Which.
        rank: usize,
        /// What it says.
        reason: String,
    },
    /// The processes of a run do not agree.
    #[error(
        "the processes of this run have different {what}\nhint: give all of them the same recipe, dataset, base and program, on processors of one kind"
    )]
    Apart {
        /// What differs.
        what: &'static str,
    },
    /// MPI cannot be used.
    #[cfg(feature = "mpi")]
    #[error("MPI cannot be used: {0}\nhint: install OpenMPI, and start the processes with its `mpirun`")]
    Mpi(&'static str),
    /// From the model.
    #[error(transparent)]
    Model(#[from] wardsmith_model::Error),
    /// From the key.
    #[error(transparent)]
    Key(#[from] wardsmith_vault::Error),
    /// From the loader.
    #[error(transparent)]
    Tokens(#[from] wardsmith_tokens::Error),
}

impl Error {
    /// Wraps an I/O error with the file and the action.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }

    /// Whether every rank of a run comes to this error by itself, from what all of them know.
    pub fn is_everywhere(&self) -> bool {
        matches!(
            self,
            Self::NonFinite { .. }
                | Self::Gradient { .. }
                | Self::Apart { .. }
                | Self::Checkpoint { .. }
                | Self::Nothing(_)
        )
    }

    /// What SQLite says of a study.
    pub(crate) fn sqlite(path: &Path, source: &rusqlite::Error) -> Self {
        Self::Study { path: path.to_path_buf(), reason: source.to_string() }
    }
}
