//! The members of a CloudTrail record (AWS CloudTrail User Guide, "CloudTrail record contents"), so that queries
//! written for CloudTrail find what they look for. `eventSource` tells our own operations from AWS's.

use countersign_crypto::Timestamp;
use serde_json::{Map, Value, json};

use crate::record::{Personal, Record};

/// A record in CloudTrail's members.
pub(super) fn event(record: &Record, repeated: bool) -> Value {
    let reads = [
        "Get", "List", "Describe", "Explain", "Verify", "Simulate", "Report", "Export", "Download",
    ];
    let data = record.action.starts_with("GetResource")
        || record.action.starts_with("GetWorkloadAccessToken")
        || record.action == "CompleteResourceTokenAuth";
    let mut event = json!({
        "eventVersion": "1.11",
        "userIdentity": identity(record),
        // Whole seconds, as CloudTrail's.
        "eventTime": Timestamp::from_secs(record.at.as_secs()).to_rfc3339(),
        "eventSource": source(record),
        "eventName": record.action,
        "awsRegion": record.region,
        "sourceIPAddress": record.source,
        "userAgent": Value::Null,
        "requestParameters": parameters(record),
        "responseElements": Value::Null,
        "additionalEventData": additional(record, repeated),
        "requestID": record.request_id,
        "eventID": event_id(record),
        "readOnly": reads.iter().any(|verb| record.action.starts_with(verb)) && !data,
        "eventType": "AwsApiCall",
        "managementEvent": !data,
        "recipientAccountId": record.account,
        "eventCategory": if data { "Data" } else { "Management" },
    });
    if record.outcome != "done" {
        event["errorCode"] = if record.outcome == "refused" {
            "AccessDenied"
        } else {
            "Failure"
        }
        .into();
        event["errorMessage"] = record.reason.as_deref().unwrap_or("unspecified").into();
    }
    event
}

/// An operation of the AWS API, or of ours.
fn source(record: &Record) -> &'static str {
    let action = record.action.as_str();
    if record.role != "identity" {
        return "gateway.countersign";
    }
    match action {
        "AssumeRoleWithWebIdentity" | "GetCallerIdentity" => "sts.amazonaws.com",
        _ if action.starts_with("GetResource")
            || action.starts_with("GetWorkloadAccessToken")
            || action == "CompleteResourceTokenAuth"
            || action.ends_with("WorkloadIdentity")
            || action.ends_with("CredentialProvider") =>
        {
            "bedrock-agentcore.amazonaws.com"
        }
        _ => "identity.countersign",
    }
}

fn identity(record: &Record) -> Value {
    match &record.principal {
        Some(arn) => {
            let kind = if arn.contains(":assumed-role/") {
                "AssumedRole"
            } else {
                "IAMUser"
            };
            let name = arn.rsplit('/').next().unwrap_or(arn);
            json!({
                "type": kind,
                "arn": arn,
                "accountId": record.account,
                "principalId": name,
                "userName": name,
            })
        }
        None if record.person.is_some() => json!({
            "type": "Unknown",
            "accountId": record.account,
            "principalId": record.person,
        }),
        None => json!({ "type": "Unknown", "accountId": record.account }),
    }
}

fn parameters(record: &Record) -> Value {
    let mut parameters = Map::new();
    for (name, value) in [
        ("workloadName", &record.workload),
        ("resourceCredentialProviderName", &record.provider),
        ("sessionId", &record.session),
        ("grantId", &record.grant),
    ] {
        if let Some(value) = value {
            parameters.insert(name.to_owned(), value.as_str().into());
        }
    }
    if parameters.is_empty() {
        Value::Null
    } else {
        parameters.into()
    }
}

fn additional(record: &Record, repeated: bool) -> Value {
    let mut additional = json!({
        "recordId": record.id.to_string(),
        "hash": hex::encode(record.hash),
        "outcome": record.outcome,
        "repeated": repeated,
        "detail": record.detail,
    });
    for (name, value) in [
        ("sid", &record.sid),
        ("person", &record.person),
        ("traceId", &record.trace_id),
    ] {
        if let Some(value) = value {
            additional[name] = value.as_str().into();
        }
    }
    if let Personal::Opened(values) = &record.personal {
        additional["personal"] = values.clone().into();
    }
    additional
}

/// A UUID (version 8, RFC 9562 section 5.8) made of the record's hash: the same whenever the record is sent.
fn event_id(record: &Record) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&record.hash[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
