//! HTTP as ServiceNow and operators speak it to a host on this machine.

use std::net::SocketAddr;

use anyhow::Context as _;
use anyhow::ensure;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use hyper::Method;
use hyper::Request;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::CONTENT_TYPE;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Sends a `GET` to `path` at `host`, and returns the JSON.
pub async fn get(host: SocketAddr, path: &str) -> anyhow::Result<Value> {
    succeeded(call(host, Method::GET, path, Bytes::new()).await?)
}

/// Sends a `POST` of JSON to `path` at `host`, and returns the JSON.
pub async fn post(host: SocketAddr, path: &str, body: &Value) -> anyhow::Result<Value> {
    succeeded(call(host, Method::POST, path, body.to_string().into()).await?)
}

/// Sends a `PUT` of bytes to `path` at `host`, and returns the status and the
/// JSON.
pub async fn put(host: SocketAddr, path: &str, body: Vec<u8>) -> anyhow::Result<(u16, Value)> {
    let (status, answer) = call(host, Method::PUT, path, body.into()).await?;
    Ok((status.as_u16(), answer))
}

fn succeeded((status, answer): (StatusCode, Value)) -> anyhow::Result<Value> {
    ensure!(status.is_success(), "the host answered {status}: {answer}");
    Ok(answer)
}

async fn call(
    host: SocketAddr,
    method: Method,
    path: &str,
    body: Bytes,
) -> anyhow::Result<(StatusCode, Value)> {
    let stream = TcpStream::connect(host).await.context("connecting to the host")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the exchange; the sender sees every error, too.
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header(HOST, host.to_string());
    let request = request.header(CONTENT_TYPE, "application/json");
    let response = sender.send_request(request.body(Full::new(body))?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let answer = serde_json::from_slice(&body).with_context(|| {
        format!("the host answered {status} without JSON: {}", body.escape_ascii())
    })?;
    Ok((status, answer))
}
