//! The listening socket, from the other end of the wire.

use std::time::{Duration, Instant};

use leasectl_api::server::{Limits, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::fixture::Api;

const PATIENCE: Duration = Duration::from_secs(20);

async fn listen(api: &Api, limits: Limits) -> (std::net::SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = serve(listener, api.router.clone(), limits, api.stopping.clone());
    (address, tokio::spawn(server))
}

/// Everything that the server sends until it closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await;
    read.expect("the server closes the connection").ok();
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_client_that_dawdles_over_its_headers_is_cut_off() {
    let api = Api::start().await;
    let limits = Limits {
        headers_deadline: Duration::from_millis(200),
        ..Limits::default()
    };
    let (address, _server) = listen(&api, limits).await;
    let started = Instant::now();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: local")
        .await
        .unwrap();
    rest(&mut slow).await;
    assert!(started.elapsed() < PATIENCE);
}

#[tokio::test]
async fn the_refusal_of_a_large_body_is_read_by_its_sender() {
    let api = Api::start().await;
    let (address, _server) = listen(&api, Limits::default()).await;
    for length in [1_048_577, 8 << 20] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; length]).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
}

#[tokio::test]
async fn noise_on_the_wire_does_not_disturb_the_service() {
    let api = Api::start().await;
    let (address, _server) = listen(&api, Limits::default()).await;
    let noise: [&[u8]; 8] = [
        b"\r\n\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\
          Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for bytes in noise {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.ok();
        stream.shutdown().await.ok();
        let answer = rest(&mut stream).await;
        assert!(!answer.starts_with("HTTP/1.1 5"), "{bytes:?} gave {answer}");
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.0 200"));
    assert_eq!(api.rows().await, [0, 0, 0]);
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_job() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    let (address, _server) = listen(&api, Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = r#"{"repo": "acme/anvil", "kind": "fetch"}"#;
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len() + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    rest(&mut stream).await;
    assert_eq!(api.rows().await, [0, 0, 1]);
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_server_stops() {
    let api = Api::start().await;
    api.repository("acme/anvil").await;
    let (address, server) = listen(&api, Limits::default()).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut busy = TcpStream::connect(address).await.unwrap();
    let body = r#"{"repo": "acme/anvil", "kind": "fetch"}"#;
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    busy.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0_u8; 25];
    busy.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    api.stopping.cancel();
    assert_eq!(
        rest(&mut idle).await,
        "",
        "an idle connection is just closed"
    );
    busy.write_all(body.as_bytes()).await.unwrap();
    let answer = rest(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    tokio::time::timeout(PATIENCE, server)
        .await
        .unwrap()
        .unwrap();
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
    assert_eq!(api.rows().await, [1, 0, 1]);
}
