//! The forms that vendors give to answers: tokens, refusals and accounts.

use http::StatusCode;
use serde_json::{Value, json};

use super::vendor::{Answer, Refusal, RefusalKind};
use crate::people::Account;

/// RFC 6749 section 5.1.
pub(super) fn standard(answer: &Answer<'_>) -> Value {
    let mut body = json!({
        "access_token": answer.access_token,
        "token_type": "Bearer",
        "scope": answer.scopes.join(" "),
    });
    if let Some(lifetime) = answer.lifetime {
        body["expires_in"] = lifetime.into();
    }
    if let Some(token) = answer.refresh_token {
        body["refresh_token"] = token.into();
    }
    if let Some(token) = answer.id_token {
        body["id_token"] = token.into();
    }
    body
}

/// Nothing but what cannot be left out, in the form that was not expected.
pub(super) fn custom(answer: &Answer<'_>) -> Value {
    let mut body = standard(answer);
    body["token_type"] = Value::Null;
    body["scope"] = answer.scopes.into();
    body["expires_in"] = answer
        .lifetime
        .map_or(Value::Null, |lifetime| lifetime.to_string().into());
    body
}

/// Short names of scopes are spelled out.
pub(super) fn google(answer: &Answer<'_>) -> Value {
    let named = |scope: &String| match scope.as_str() {
        "email" | "profile" => format!("https://www.googleapis.com/auth/userinfo.{scope}"),
        _ => scope.clone(),
    };
    let scopes: Vec<String> = answer.scopes.iter().map(named).collect();
    let mut body = standard(answer);
    body["scope"] = scopes.join(" ").into();
    body
}

/// Commas between scopes, `bearer` in lower case, lifetimes of GitHub Apps alone.
pub(super) fn github(answer: &Answer<'_>) -> Value {
    let mut body = standard(answer);
    body["token_type"] = "bearer".into();
    body["scope"] = answer.scopes.join(",").into();
    if answer.lifetime.is_some() {
        body["refresh_token_expires_in"] = 15_897_600.into();
    }
    body
}

/// The bot's token at the top; a person's own inside `authed_user`, and then nothing at the top.
pub(super) fn slack(answer: &Answer<'_>) -> Value {
    let mut tokens = standard(answer);
    tokens["scope"] = answer.scopes.join(",").into();
    let team = json!({"id": "T0001", "name": "Simulated"});
    if answer.marked {
        tokens["token_type"] = "user".into();
        tokens["id"] = answer.account.subject.into();
        return json!({"ok": true, "app_id": "A0001", "team": team, "authed_user": tokens});
    }
    tokens["token_type"] = "bot".into();
    tokens["ok"] = true.into();
    tokens["team"] = team;
    tokens["authed_user"] = json!({"id": answer.account.subject});
    tokens
}

/// No lifetime; the API's host and the account beside the token; a time in milliseconds as text.
pub(super) fn salesforce(answer: &Answer<'_>) -> Value {
    let mut body = standard(answer);
    if let Some(members) = body.as_object_mut() {
        members.remove("expires_in");
    }
    body["instance_url"] = "https://simulated.my.salesforce.com".into();
    body["id"] = format!("https://login.salesforce.com/id/00D/{}", answer.account.subject).into();
    body["issued_at"] = answer.now_millis.to_string().into();
    body["signature"] = "c2ltdWxhdGVk".into();
    body
}

/// Scopes of Graph with their resource before them; `offline_access` is never named.
pub(super) fn microsoft(answer: &Answer<'_>) -> Value {
    let named = |scope: &String| match scope.as_str() {
        "openid" | "profile" | "email" => scope.clone(),
        _ if scope.contains("://") => scope.clone(),
        _ => format!("https://graph.microsoft.com/{scope}"),
    };
    let told = answer.scopes.iter().filter(|scope| *scope != "offline_access");
    let scopes: Vec<String> = told.map(named).collect();
    let mut body = standard(answer);
    body["scope"] = scopes.join(" ").into();
    body["ext_expires_in"] = answer.lifetime.into();
    body
}

/// Commas between scopes, and the refresh token's lifetime.
pub(super) fn linkedin(answer: &Answer<'_>) -> Value {
    let mut body = standard(answer);
    body["scope"] = answer.scopes.join(",").into();
    if answer.refresh_token.is_some() {
        body["refresh_token_expires_in"] = 31_536_000.into();
    }
    body
}

/// No scope at all.
pub(super) fn scopeless(answer: &Answer<'_>) -> Value {
    let mut body = standard(answer);
    if let Some(members) = body.as_object_mut() {
        members.remove("scope");
    }
    body
}

/// Scopes are a list.
pub(super) fn twitch(answer: &Answer<'_>) -> Value {
    let mut body = standard(answer);
    body["scope"] = answer.scopes.into();
    body["token_type"] = "bearer".into();
    body
}

/// Workspace and owner beside the token; no scopes.
pub(super) fn notion(answer: &Answer<'_>) -> Value {
    let mut body = scopeless(answer);
    body["bot_id"] = "b0001".into();
    body["workspace_id"] = "w0001".into();
    body["workspace_name"] = "Simulated".into();
    body["owner"] = json!({
        "type": "user",
        "user": {
            "object": "user",
            "id": answer.account.subject,
            "name": answer.account.name,
            "person": {"email": answer.account.email},
        },
    });
    body
}

/// `scopes` as a list, and the account.
pub(super) fn hubspot(answer: &Answer<'_>) -> Value {
    let mut body = scopeless(answer);
    body["scopes"] = answer.scopes.into();
    body["hub_id"] = 50_001.into();
    body
}

/// RFC 6749 section 5.2.
pub(super) fn standard_refusal(refusal: &Refusal) -> (StatusCode, Value) {
    let (status, error) = match refusal.kind {
        RefusalKind::Request => (StatusCode::BAD_REQUEST, "invalid_request"),
        RefusalKind::Client => (StatusCode::UNAUTHORIZED, "invalid_client"),
        RefusalKind::Code | RefusalKind::RefreshToken => (StatusCode::BAD_REQUEST, "invalid_grant"),
        RefusalKind::GrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
    };
    (
        status,
        json!({"error": error, "error_description": refusal.description}),
    )
}

/// Status 200 and words of its own.
pub(super) fn github_refusal(refusal: &Refusal) -> (StatusCode, Value) {
    let error = match refusal.kind {
        RefusalKind::Request => "redirect_uri_mismatch",
        RefusalKind::Client => "incorrect_client_credentials",
        RefusalKind::Code => "bad_verification_code",
        RefusalKind::RefreshToken => "bad_refresh_token",
        RefusalKind::GrantType => "unsupported_grant_type",
    };
    (
        StatusCode::OK,
        json!({"error": error, "error_description": refusal.description}),
    )
}

/// Status 200 and `ok: false`.
pub(super) fn slack_refusal(refusal: &Refusal) -> (StatusCode, Value) {
    let error = match refusal.kind {
        RefusalKind::Request => "invalid_arguments",
        RefusalKind::Client => "bad_client_secret",
        RefusalKind::Code => "invalid_code",
        RefusalKind::RefreshToken => "invalid_refresh_token",
        RefusalKind::GrantType => "invalid_grant_type",
    };
    (StatusCode::OK, json!({"ok": false, "error": error}))
}

/// An object, with numbers for codes.
pub(super) fn facebook_refusal(refusal: &Refusal) -> (StatusCode, Value) {
    let code = match refusal.kind {
        RefusalKind::RefreshToken => 190,
        RefusalKind::Client => 101,
        _ => 100,
    };
    let error = json!({
        "message": refusal.description, "type": "OAuthException", "code": code, "fbtrace_id": "simulated",
    });
    (StatusCode::BAD_REQUEST, json!({"error": error}))
}

/// A refresh token that is no good counts as a client that is not allowed.
pub(super) fn atlassian_refusal(refusal: &Refusal) -> (StatusCode, Value) {
    if refusal.kind == RefusalKind::RefreshToken {
        let body = json!({"error": "unauthorized_client", "error_description": "refresh_token is invalid"});
        return (StatusCode::FORBIDDEN, body);
    }
    standard_refusal(refusal)
}

/// `status` and `message`.
pub(super) fn hubspot_refusal(refusal: &Refusal) -> (StatusCode, Value) {
    let status = match refusal.kind {
        RefusalKind::Client => "BAD_CLIENT_SECRET",
        RefusalKind::Code => "BAD_AUTH_CODE",
        RefusalKind::RefreshToken => "BAD_REFRESH_TOKEN",
        _ => "BAD_REQUEST",
    };
    let body = json!({"status": status, "message": refusal.description, "correlationId": "simulated"});
    (StatusCode::BAD_REQUEST, body)
}

/// Status 200 for codes and refresh tokens; numbers for the rest.
pub(super) fn reddit_refusal(refusal: &Refusal) -> (StatusCode, Value) {
    match refusal.kind {
        RefusalKind::Code | RefusalKind::RefreshToken => (StatusCode::OK, json!({"error": "invalid_grant"})),
        RefusalKind::Client => (
            StatusCode::UNAUTHORIZED,
            json!({"message": "Unauthorized", "error": 401}),
        ),
        _ => (
            StatusCode::BAD_REQUEST,
            json!({"message": "Bad Request", "error": 400}),
        ),
    }
}

/// OpenID Connect `UserInfo`.
pub(super) fn openid_account(account: &Account) -> Value {
    json!({
        "sub": account.subject, "name": account.name, "preferred_username": account.username,
        "email": account.email, "email_verified": true,
    })
}

/// A number for an id.
pub(super) fn github_account(account: &Account) -> Value {
    let id: u64 = account.subject.parse().unwrap_or_default();
    let page = format!("https://github.com/{}", account.username);
    json!({"id": id, "login": account.username, "name": account.name, "email": null, "bio": null, "html_url": page})
}

pub(super) fn slack_account(account: &Account) -> Value {
    json!({"ok": true, "team_id": "T0001", "team": "Simulated", "user_id": account.subject, "user": account.username})
}

pub(super) fn atlassian_account(account: &Account) -> Value {
    json!({"account_id": account.subject, "email": account.email, "name": account.name})
}

pub(super) fn x_account(account: &Account) -> Value {
    json!({"data": {"id": account.subject, "username": account.username, "name": account.name}})
}

/// `id`, `name` and `email`, as several vendors have them.
pub(super) fn plain_account(account: &Account) -> Value {
    json!({
        "id": account.subject, "name": account.name, "email": account.email,
        "login": account.username, "display_name": account.name,
    })
}

/// What a person granted, to which `public_profile` always belongs.
pub(super) fn facebook_permissions(scopes: &[String]) -> Value {
    let own = scopes.iter().map(String::as_str);
    let always = (!scopes.iter().any(|scope| scope == "public_profile")).then_some("public_profile");
    let granted = own.chain(always);
    let listed: Vec<Value> = granted
        .map(|name| json!({"permission": name, "status": "granted"}))
        .collect();
    json!({ "data": listed })
}

pub(super) fn twitch_account(account: &Account) -> Value {
    json!({"data": [{"id": account.subject, "login": account.username, "display_name": account.name}]})
}

pub(super) fn dropbox_account(account: &Account) -> Value {
    json!({
        "account_id": format!("dbid:{}", account.subject), "email": account.email,
        "name": {"display_name": account.name},
    })
}

/// A person in an account.
pub(super) fn hubspot_account(account: &Account) -> Value {
    let user: u64 = account.subject.parse().unwrap_or_default();
    json!({"active": true, "hub_id": 50_001, "user_id": user, "user": account.email, "hub_domain": "simulated.example"})
}
