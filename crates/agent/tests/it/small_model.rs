//! A real model of 135 million parameters, which a grammar holds to the format: the whole way with nothing scripted.

use crate::harness::{CANARY, tool_states};
use crate::model_server::ModelServer;
use crate::models::agent_with;

#[tokio::test]
async fn a_real_model_has_a_tool_called_and_gets_its_result() {
    let server = ModelServer::small();
    let model = format!("openai:smollm2@{}/v1", server.url);
    let agent = agent_with(model, |config| config.limits.model_timeout_seconds = 300).await;
    let (events, text) = agent.ask("alice", "c", "list my open issues").await.rest().await;
    assert_eq!(tool_states(&events), ["started", "done"], "{events:?}");
    assert!(!text.is_empty() && !text.contains(CANARY), "{text}");
}
