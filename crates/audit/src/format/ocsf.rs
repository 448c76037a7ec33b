//! OCSF 1.5.0 (schema.ocsf.io): Authentication (3002) for logins, Account Change (3001) for what befalls principals and
//! persons, API Activity (6003) for everything else. With the profile `cloud`.

use serde_json::{Value, json};

use crate::record::{Personal, Record};

const VERSION: &str = "1.5.0";
const API_ACTIVITY: i64 = 6003;
const AUTHENTICATION: i64 = 3002;
const ACCOUNT_CHANGE: i64 = 3001;
/// `activity_id` of every class.
const OTHER: i64 = 99;

/// Class and activity of an action.
fn class(action: &str) -> (i64, i64) {
    match action {
        "Login" => (AUTHENTICATION, 1),
        "Logout" | "EndSession" | "BackchannelLogout" => (AUTHENTICATION, 2),
        // A ticket for services, and what it is exchanged for.
        "AssumeRoleWithWebIdentity" => (AUTHENTICATION, 3),
        "GetWorkloadAccessToken" | "GetWorkloadAccessTokenForJWT" | "GetWorkloadAccessTokenForUserId" => {
            (AUTHENTICATION, 4)
        }
        "CreatePrincipal" => (ACCOUNT_CHANGE, 1),
        "Start" => (ACCOUNT_CHANGE, 2),
        "Stop" => (ACCOUNT_CHANGE, 5),
        "DeletePrincipal" | "ForgetUser" => (ACCOUNT_CHANGE, 6),
        "PutPrincipalPolicy" => (ACCOUNT_CHANGE, 7),
        "DeletePrincipalPolicy" => (ACCOUNT_CHANGE, 8),
        "UpdatePrincipal" | "CreateAccessKey" | "UpdateAccessKey" | "DeleteAccessKey" => {
            (ACCOUNT_CHANGE, OTHER)
        }
        _ => (API_ACTIVITY, api_activity(action)),
    }
}

/// 1 Create, 2 Read, 3 Update, 4 Delete.
fn api_activity(action: &str) -> i64 {
    let begins = |verbs: &[&str]| verbs.iter().any(|verb| action.starts_with(verb));
    if begins(&["Create"]) {
        1
    } else if begins(&[
        "Get", "List", "Describe", "Explain", "Verify", "Simulate", "Report", "Export", "Download", "Show",
    ]) {
        2
    } else if begins(&[
        "Update", "Put", "Set", "Tag", "Rotate", "Rewrap", "Reseal", "Complete", "Confirm", "Reset",
    ]) {
        3
    } else if begins(&[
        "Delete",
        "Untag",
        "Revoke",
        "Retire",
        "End",
        "Disconnect",
        "Forget",
    ]) {
        4
    } else {
        OTHER
    }
}

/// A record as an event.
pub(super) fn event(record: &Record, repeated: bool) -> Value {
    let (class_uid, activity_id) = class(&record.action);
    let (status_id, status) = if record.outcome == "done" {
        (1, "Success")
    } else {
        (2, "Failure")
    };
    let (severity_id, severity) = match record.outcome.as_str() {
        "done" => (1, "Informational"),
        "refused" => (2, "Low"),
        _ => (3, "Medium"),
    };
    let mut event = json!({
        "category_uid": class_uid / 1000,
        "class_uid": class_uid,
        "activity_id": activity_id,
        "activity_name": record.action,
        "type_uid": class_uid * 100 + activity_id,
        // Milliseconds.
        "time": record.at.as_micros().div_euclid(1000),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "metadata": metadata(record),
        "cloud": {
            "provider": "Countersign",
            "account": { "uid": record.account },
            "region": record.region,
        },
        "actor": actor(record),
        "api": api(record),
        "src_endpoint": endpoint(record),
        "unmapped": unmapped(record, repeated),
    });
    if let Some(reason) = &record.reason {
        event["status_detail"] = reason.as_str().into();
    }
    match class_uid {
        AUTHENTICATION => {
            event["user"] = user(record);
            event["service"] = json!({ "name": format!("countersign-{}", record.role) });
            if let Some(sid) = &record.sid {
                event["session"] = json!({ "uid": sid });
            }
        }
        ACCOUNT_CHANGE => event["user"] = subject(record),
        _ => {
            let resources = resources(record);
            if !resources.is_empty() {
                event["resources"] = resources.into();
            }
        }
    }
    event
}

fn metadata(record: &Record) -> Value {
    let mut metadata = json!({
        "version": VERSION,
        "product": {
            "name": "Countersign",
            "vendor_name": "Countersign",
            "version": env!("CARGO_PKG_VERSION"),
            "feature": { "name": record.role },
        },
        "profiles": ["cloud"],
        // The same whenever the record is sent.
        "uid": record.id.to_string(),
        "sequence": record.id.seq,
        "log_name": record.role,
        "log_provider": "Countersign",
        "event_code": record.action,
    });
    if let Some(id) = record.sid.as_ref().or(record.trace_id.as_ref()) {
        metadata["correlation_uid"] = id.as_str().into();
    }
    metadata
}

/// Who did it.
fn actor(record: &Record) -> Value {
    let mut actor = json!({ "app_name": format!("countersign-{}", record.role) });
    if let Some(principal) = &record.principal {
        // 3: System.
        actor["user"] = json!({ "uid": principal, "name": last_part(principal), "type_id": 3 });
    } else if record.person.is_some() {
        actor["user"] = user(record);
    }
    if let Some(sid) = &record.sid {
        actor["session"] = json!({ "uid": sid });
    }
    actor
}

/// The person, by pseudonym, or else the caller.
fn user(record: &Record) -> Value {
    if let Some(person) = &record.person {
        return json!({ "uid": person, "type_id": 1 });
    }
    match &record.principal {
        Some(principal) => json!({ "uid": principal, "name": last_part(principal), "type_id": 3 }),
        None => json!({ "uid": "unknown", "type_id": 0 }),
    }
}

/// Whose account was changed: the operation says it in its details.
fn subject(record: &Record) -> Value {
    let named = ["principal", "subject", "accessKeyId"]
        .iter()
        .find_map(|name| record.detail[*name].as_str());
    match named {
        Some(name) => json!({ "uid": name, "name": name, "type_id": 0 }),
        None => user(record),
    }
}

fn api(record: &Record) -> Value {
    let mut api = json!({
        "operation": record.action,
        "service": { "name": format!("countersign-{}", record.role) },
    });
    if let Some(id) = &record.request_id {
        api["request"] = json!({ "uid": id });
    }
    if let Some(reason) = &record.reason {
        api["response"] = json!({ "error": reason });
    }
    api
}

fn endpoint(record: &Record) -> Value {
    match record.source.as_deref() {
        Some(source) if source.parse::<std::net::IpAddr>().is_ok() => json!({ "ip": source }),
        // Many strangers counted together, or a network.
        Some(source) => json!({ "name": source }),
        None => json!({ "name": "not recorded" }),
    }
}

fn resources(record: &Record) -> Vec<Value> {
    [
        ("workload identity", &record.workload),
        ("credential provider", &record.provider),
        ("authorization session", &record.session),
        ("grant", &record.grant),
    ]
    .into_iter()
    .filter_map(|(kind, name)| {
        name.as_ref()
            .map(|name| json!({ "type": kind, "name": name, "uid": name }))
    })
    .collect()
}

/// What has no place in the schema.
fn unmapped(record: &Record, repeated: bool) -> Value {
    let mut unmapped = json!({
        "outcome": record.outcome,
        "detail": record.detail,
        "hash": hex::encode(record.hash),
        "repeated": repeated,
    });
    for (name, value) in [
        ("workload", &record.workload),
        ("provider", &record.provider),
        ("session", &record.session),
        ("grant", &record.grant),
        ("person", &record.person),
        ("traceId", &record.trace_id),
    ] {
        if let Some(value) = value {
            unmapped[name] = value.as_str().into();
        }
    }
    if let Personal::Opened(values) = &record.personal {
        unmapped["personal"] = values.clone().into();
    }
    unmapped
}

/// The name in an ARN.
fn last_part(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
