//! One request, handed to `git http-backend` as CGI has it.

use std::{io, process::Stdio, sync::Arc};

use axum::{
    body::{Body, BodyDataStream},
    extract::Request,
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
};
use futures::StreamExt as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{Shared, pace};
use crate::process;

/// Longest line in the headers of an answer, in bytes.
const LONGEST_HEADER_BYTES: usize = 8 * 1024;

/// A running backend; dropping it kills the process.
pub(super) struct Backend {
    pub(super) output: BufReader<ChildStdout>,
    _child: Child,
}

/// Starts the backend and turns what it writes into an answer.
pub(super) async fn run(shared: &Arc<Shared>, request: Request) -> io::Result<Response<Body>> {
    let mut command = Command::from(process::http_backend());
    describe(&mut command, shared, &request);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the backend has no pipes"));
    };
    tokio::spawn(upload(request.into_body().into_data_stream(), stdin));
    let mut output = BufReader::with_capacity(pace::PIECE_BYTES, stdout);
    let mut response = read_head(&mut output).await?;
    let backend = Backend {
        output,
        _child: child,
    };
    *response.body_mut() = Body::from_stream(pace::stream(backend, Arc::clone(shared)));
    Ok(response)
}

/// The variables of the Common Gateway Interface.
fn describe(command: &mut Command, shared: &Shared, request: &Request) {
    let path = request.uri().path();
    command
        .env("GIT_PROJECT_ROOT", &shared.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", request.method().as_str())
        .env("PATH_INFO", path)
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("REMOTE_ADDR", "127.0.0.1");
    for (name, variable) in [
        (header::CONTENT_TYPE, "CONTENT_TYPE"),
        // A body sent in chunks has no length; the backend then reads to the end.
        (header::CONTENT_LENGTH, "CONTENT_LENGTH"),
        (header::CONTENT_ENCODING, "HTTP_CONTENT_ENCODING"),
        (HeaderName::from_static("git-protocol"), "GIT_PROTOCOL"),
    ] {
        if let Some(value) = request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
        {
            command.env(variable, value);
        }
    }
}

/// Passes the request's body on. A backend that does not want it closes the pipe.
async fn upload(mut body: BodyDataStream, mut stdin: ChildStdin) {
    while let Some(Ok(piece)) = body.next().await {
        if stdin.write_all(&piece).await.is_err() {
            break;
        }
    }
}

/// Reads the headers, up to the empty line.
async fn read_head(output: &mut BufReader<ChildStdout>) -> io::Result<Response<Body>> {
    let mut response = Response::new(Body::empty());
    loop {
        let mut line = String::new();
        let read = output.read_line(&mut line).await?;
        let line = line.trim_end();
        if read == 0 || read > LONGEST_HEADER_BYTES {
            return Err(io::Error::other("the backend did not answer"));
        }
        if line.is_empty() {
            return Ok(response);
        }
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.get(..3).unwrap_or(value);
            *response.status_mut() = code.parse().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        } else if let (Ok(name), Ok(value)) =
            (name.parse::<HeaderName>(), HeaderValue::from_str(value))
        {
            response.headers_mut().append(name, value);
        }
    }
}
