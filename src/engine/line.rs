//! The line to one host: the connection that is worked over, the shell in it, and how it was reached. A guard's proof
//! comes in by a line of its own, and the run goes on over that one when the old way in is shut.

use crate::ssh::{ConnectError, Connection, Connector, HeldShell, Policy, SessionError, Target};

/// A connection with its shell.
pub(super) struct Line {
    pub(super) connection: Connection,
    pub(super) shell: HeldShell,
    /// How it was reached: what another connection begins from.
    pub(super) target: Target,
    /// Lines that this run came by before. The first one's shell holds the host's lock, so they end with the run.
    earlier: Vec<(Connection, HeldShell)>,
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// No login.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A login without a session.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl LineError {
    pub(super) fn help(&self) -> Option<String> {
        match self {
            Self::Connect(error) => error.help(),
            Self::Session(error) => error.help(),
        }
    }

    /// Whether the host was there, and let this user in by no key.
    pub(super) fn is_refused_key(&self) -> bool {
        matches!(self, Self::Connect(ConnectError::NoKeyAccepted { .. } | ConnectError::TooManyFailures { .. }))
    }

    /// Whether another attempt may succeed a moment later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_passing(),
            Self::Session(error) => matches!(error, SessionError::Lost { .. } | SessionError::Refused { .. }),
        }
    }
}

impl Line {
    /// A new connection, and a shell in it.
    pub(super) async fn open(connector: &Connector, target: &Target) -> Result<Self, LineError> {
        Self::over(connector.connect(target).await?, target).await
    }

    /// The same, asking beforehand what methods the server offers.
    pub(super) async fn open_and_learn(connector: &Connector, target: &Target) -> Result<Self, LineError> {
        let policy = Policy { learn_methods: true, ..connector.policy() };
        Self::over(connector.connect_with(target, policy).await?, target).await
    }

    async fn over(connection: Connection, target: &Target) -> Result<Self, LineError> {
        let shell = connection.shell().await?;
        Ok(Self { connection, shell, target: target.clone(), earlier: Vec::new() })
    }

    /// Goes on over `new`. The line so far stays open: what it holds on the host it holds on.
    pub(super) fn go_over(&mut self, new: Line) {
        let connection = std::mem::replace(&mut self.connection, new.connection);
        let shell = std::mem::replace(&mut self.shell, new.shell);
        self.target = new.target;
        self.earlier.push((connection, shell));
    }

    /// Whether this line is known to be gone.
    pub(super) fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    /// Whether the shell that took the host's lock is known to be gone.
    pub(super) fn has_lost_lock(&self) -> bool {
        self.earlier.first().map_or(&self.connection, |(connection, _)| connection).is_closed()
    }

    /// Ends it in good order.
    pub(super) async fn close(self) {
        for (connection, shell) in self.earlier.into_iter().chain([(self.connection, self.shell)]) {
            shell.close();
            connection.close().await;
        }
    }
}
