//! HTTP as ServiceNow speaks it to a host on this machine.

use std::net::SocketAddr;

use anyhow::Context as _;
use anyhow::ensure;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::CONTENT_TYPE;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Sends a `GET` to `path` at `host`, and returns the JSON.
pub async fn get(host: SocketAddr, path: &str) -> anyhow::Result<Value> {
    call(host, Request::get(path), Bytes::new()).await
}

/// Sends a `POST` of JSON to `path` at `host`, and returns the JSON.
pub async fn post(host: SocketAddr, path: &str, body: &Value) -> anyhow::Result<Value> {
    call(host, Request::post(path), body.to_string().into()).await
}

async fn call(
    host: SocketAddr,
    request: hyper::http::request::Builder,
    body: Bytes,
) -> anyhow::Result<Value> {
    let stream = TcpStream::connect(host).await.context("connecting to the host")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the exchange; the sender sees every error, too.
    tokio::spawn(connection);
    let request = request.header(HOST, host.to_string()).header(CONTENT_TYPE, "application/json");
    let response = sender.send_request(request.body(Full::new(body))?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "the host answered {status}: {}", body.escape_ascii());
    serde_json::from_slice(&body).context("the host's answer is not JSON")
}
