//! A server that is reached both directly and through a proxy of the test.

use leasectl_embedded::scratch::{ScratchServer, ScratchSettings};
use tokio::net::{TcpListener, TcpStream};

use crate::world::World;

/// A server of its own, and both ways to its database.
pub(crate) struct Reached {
    pub(crate) world: World,
    /// The same through the proxy.
    pub(crate) far: World,
    _server: ScratchServer,
}

impl Reached {
    /// Each connection to the proxy is given to `pass`, with the port that the server listens on.
    pub(crate) async fn through<F>(pass: impl Fn(TcpStream, u16) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let on_tcp = tokio::task::spawn_blocking(|| {
            ScratchServer::start(ScratchSettings::new().on_tcp()).expect("a scratch server")
        });
        let server = on_tcp.await.expect("no panic");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own_port = listener.local_addr().expect("bound").port();
        let port = server.port();
        tokio::spawn(async move {
            while let Ok((inner, _)) = listener.accept().await {
                tokio::spawn(pass(inner, port));
            }
        });
        let url = server.tcp_url("postgres").expect("a TCP URL");
        let through = url.replace(&port.to_string(), &own_port.to_string());
        Self {
            world: World::at(&url).await,
            far: World::at(&through).await,
            _server: server,
        }
    }
}
