//! How a command ends.

/// What a command gives back: in order, or not.
pub(crate) type Outcome = Result<(), Trouble>;

/// Why a command did not end in order.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The command line, or a file that it names, cannot be used. Exit code 2.
    Usage(String),
    /// It failed, and this says why and what to do. Exit code 1.
    Failed(String),
    /// It failed, and the user has been told already. Exit code 1.
    Told,
}

impl Trouble {
    /// For files that the command line names.
    pub(crate) fn usage(error: impl ToString) -> Self {
        Self::Usage(error.to_string())
    }

    pub(crate) fn failed(error: impl ToString) -> Self {
        Self::Failed(error.to_string())
    }
}
