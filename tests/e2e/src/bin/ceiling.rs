//! The baseline of `./bench token`: a bare axum server that answers a JSON constant of the same size.

use std::net::SocketAddr;

use axum::{Json, Router, routing::post};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address: SocketAddr = (
        [127, 0, 0, 1],
        std::env::args().nth(1).unwrap_or_default().parse()?,
    )
        .into();
    let token = "x".repeat(43);
    let answer = move || {
        let token = token.clone();
        async move { Json::<Value>(json!({ "accessToken": token, "expiresAt": 1_795_456_800, "grantId": "x" })) }
    };
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(
        listener,
        Router::new().route("/identities/oauth2/token", post(answer)),
    )
    .await?;
    Ok(())
}
