//! The world on loopback, for any SDK and any language.

use tokio::net::TcpListener;

use crate::Simulator;

/// Serves the world until the future is dropped.
///
/// # Errors
/// When the listener fails.
pub async fn serve(simulator: Simulator, listener: TcpListener) -> std::io::Result<()> {
    let _ = (simulator, listener);
    todo!()
}
