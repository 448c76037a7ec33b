//! Actions of rules.

use serde_json::Value as Json;
use toml::{Table, Value};

use super::{Import, strings, table_of, text};

impl Import {
    pub(super) fn actions(&mut self, place: &str, actions: &Json) -> Vec<Value> {
        let mut sorted: Vec<&Json> = actions.as_array().into_iter().flatten().collect();
        sorted.sort_by_key(|action| action["Order"].as_i64().unwrap_or(1));
        let mut converted = Vec::new();
        for action in sorted {
            if let Some(action) = self.action(place, action) {
                converted.push(Value::Table(action));
            } else {
                let kind = text(action, "Type");
                return self.closed(place, &format!("the action {kind} is not offered"));
            }
        }
        converted
    }

    /// What a rule does that cannot be turned.
    pub(super) fn closed(&mut self, place: &str, why: &str) -> Vec<Value> {
        self.note(place, &format!("{why}; the rule answers 503 until you change it"));
        let closed = [
            ("type", Value::from("fixed-response")),
            ("status_code", Value::from(503)),
        ];
        vec![table_of(closed).into()]
    }

    fn action(&mut self, place: &str, action: &Json) -> Option<Table> {
        let kind = text(action, "Type");
        let mut table = table_of([("type", Value::from(kind))]);
        match kind {
            "authenticate-oidc" => {
                let config = &action["AuthenticateOidcConfig"];
                table.insert("application".to_owned(), self.application(place, config).into());
                if let Some(otherwise) = config["OnUnauthenticatedRequest"].as_str() {
                    table.insert("on_unauthenticated_request".to_owned(), otherwise.into());
                }
            }
            "jwt-validation" => {
                let config = &action["JwtValidationConfig"];
                table.insert("jwks_endpoint".to_owned(), text(config, "JwksEndpoint").into());
                table.insert("issuer".to_owned(), text(config, "Issuer").into());
                let claims = config["AdditionalClaims"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|claim| {
                        let values = strings(&claim["Values"]).map(Value::from).collect();
                        Value::Table(table_of([
                            ("name", Value::from(text(claim, "Name"))),
                            ("format", Value::from(text(claim, "Format"))),
                            ("values", Value::Array(values)),
                        ]))
                    });
                table.insert("additional_claims".to_owned(), Value::Array(claims.collect()));
            }
            "forward" => self.forward(action, &mut table),
            "redirect" => {
                let config = &action["RedirectConfig"];
                for (ours, theirs) in [
                    ("protocol", "Protocol"),
                    ("host", "Host"),
                    ("port", "Port"),
                    ("path", "Path"),
                    ("query", "Query"),
                ] {
                    if let Some(value) = config[theirs].as_str() {
                        table.insert(ours.to_owned(), value.into());
                    }
                }
                let status = text(config, "StatusCode")
                    .trim_start_matches("HTTP_")
                    .parse::<i64>();
                table.insert("status_code".to_owned(), status.unwrap_or(302).into());
            }
            "fixed-response" => {
                let config = &action["FixedResponseConfig"];
                let status = text(config, "StatusCode").parse::<i64>().unwrap_or(503);
                table.insert("status_code".to_owned(), status.into());
                for (ours, theirs) in [("content_type", "ContentType"), ("message_body", "MessageBody")] {
                    if let Some(value) = config[theirs].as_str() {
                        table.insert(ours.to_owned(), value.into());
                    }
                }
            }
            _ => return None,
        }
        Some(table)
    }

    fn forward(&mut self, action: &Json, table: &mut Table) {
        let config = &action["ForwardConfig"];
        let groups = config["TargetGroups"].as_array().map_or(&[][..], Vec::as_slice);
        if groups.len() > 1 {
            let weighted = groups.iter().map(|group| {
                let name = self.known_group(text(group, "TargetGroupArn"));
                let weight = group["Weight"].as_i64().unwrap_or(1);
                Value::Table(table_of([("name", Value::from(name)), ("weight", weight.into())]))
            });
            table.insert("target_groups".to_owned(), Value::Array(weighted.collect()));
        } else {
            let arn = action["TargetGroupArn"].as_str();
            let arn = arn.or_else(|| groups.first()?["TargetGroupArn"].as_str());
            let name = self.known_group(arn.unwrap_or_default());
            table.insert("target_group".to_owned(), name.into());
        }
        let sticky = &config["TargetGroupStickinessConfig"];
        if sticky["Enabled"].as_bool() == Some(true) {
            let seconds = sticky["DurationSeconds"].as_i64().unwrap_or(3_600);
            table.insert("target_group_stickiness_seconds".to_owned(), seconds.into());
        }
    }

    /// The name of a target group, which gets a place to be filled in when it was not described.
    fn known_group(&mut self, arn: &str) -> String {
        let name = arn.rsplit('/').nth(1).unwrap_or("targets").to_owned();
        if !self.target_groups.contains_key(&name) {
            let described = serde_json::json!({ "TargetGroupName": name, "TargetGroupArn": arn });
            self.target_group(&described);
        }
        name
    }
}
