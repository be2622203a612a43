//! Single connections outside any pool, for what must outlive a statement: wakeups and liveness.

use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_postgres::{AsyncMessage, Client, Error};

use super::{CONNECT_TIMEOUT, ConnectError, DatabaseError, DatabaseUrl, config_for, tls};

/// One connection outside any pool, with the messages that the server sends unasked.
#[derive(Debug)]
pub(crate) struct DirectConnection {
    /// Sends statements.
    pub(crate) client: Client,
    /// Notifications and notices; ends when the connection does.
    pub(crate) messages: mpsc::Receiver<AsyncMessage>,
    /// What broke the connection; nothing when it was closed on this side.
    pub(crate) broken: oneshot::Receiver<Error>,
    driver: AbortHandle,
}

impl Drop for DirectConnection {
    /// Closes the socket at once, also when the other side takes no bytes any more.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Opens one connection outside any pool.
///
/// # Errors
/// When the server cannot be reached within ten seconds.
pub(crate) async fn connect_direct(
    url: &DatabaseUrl,
    application_name: &str,
) -> Result<DirectConnection, ConnectError> {
    let config = config_for(url, application_name);
    let connecting = config.connect(tls::connector(url)?);
    let (client, mut connection) = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|_elapsed| DatabaseError::ConnectTimeout)?
        .map_err(DatabaseError::from)?;
    let (sender, messages) = mpsc::channel(256);
    let (tell_broken, broken) = oneshot::channel();
    let driver = tokio::spawn(async move {
        // Ends with the connection, or when nobody listens any more.
        while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            match message {
                Ok(message) => {
                    if sender.send(message).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    // Nobody may want to know.
                    let _ = tell_broken.send(error);
                    break;
                }
            }
        }
    });
    Ok(DirectConnection {
        client,
        messages,
        broken,
        driver: driver.abort_handle(),
    })
}
