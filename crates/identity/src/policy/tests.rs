//! The evaluator's own examples; [`super::iam_rules`] compares it with the rules at large.

use serde_json::{Value, json};

use super::*;
use countersign_api::Sensitive;
use countersign_crypto::Timestamp;

const TOKEN: &str = "bedrock-agentcore:GetWorkloadAccessToken";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn policy(document: &Value) -> Policy {
    Policy::parse(document).expect("a policy")
}

fn workload(name: &str) -> Arn {
    Arn::workload_identity("us-east-1", "000000000000", name)
}

fn decide(policy: &Policy, action: &str, resource: &Arn, context: &Context) -> Decision {
    decide_tagged(policy, action, resource, context, &Tags::new(), None)
}

fn decide_tagged(
    policy: &Policy,
    action: &str,
    resource: &Arn,
    context: &Context,
    principal_tags: &Tags,
    resource_tags: Option<&Tags>,
) -> Decision {
    let facts = Facts {
        principal: Principal {
            arn: &Arn::principal("000000000000", "agent"),
            name: "agent",
            tags: principal_tags,
        },
        region: "us-east-1",
        now: NOW,
        context,
        resource_tags,
    };
    policy.decide(action, resource, &facts)
}

fn allows(policy: &Policy, action: &str, resource: &Arn) -> bool {
    decide(policy, action, resource, &Context::default()) == Decision::Allowed
}

/// Whether everything is allowed to a request in `context` under one condition block.
#[expect(
    clippy::needless_pass_by_value,
    reason = "every caller writes the block in place"
)]
fn holds(condition: Value, context: &Context) -> bool {
    let policy = policy(&json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition,
    }}));
    decide(&policy, TOKEN, &workload("agent"), context) == Decision::Allowed
}

fn tags(entries: &[(&str, &str)]) -> Tags {
    let owned = entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    owned.collect()
}

fn scopes(scopes: &[&str]) -> Context {
    Context {
        scopes: Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()),
        ..Context::default()
    }
}

fn user(id: &str) -> Context {
    Context {
        user_id: Some(id.to_owned()),
        ..Context::default()
    }
}

#[test]
fn no_match_is_deny_and_explicit_deny_wins() {
    let policy = policy(&json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "bedrock-agentcore:Get*", "Resource": "*"},
        {"Sid": "NotThatOne", "Effect": "Deny", "Action": ["bedrock-agentcore:*"], "Resource": [workload("secret").to_string()]},
    ]}));
    let nothing = Context::default();
    assert_eq!(
        decide(&policy, TOKEN, &workload("agent"), &nothing),
        Decision::Allowed
    );
    assert_eq!(
        decide(&policy, TOKEN, &workload("secret"), &nothing),
        Decision::ExplicitDeny { statement: 1 }
    );
    assert_eq!(
        decide(
            &policy,
            "bedrock-agentcore:CreateWorkloadIdentity",
            &workload("agent"),
            &nothing
        ),
        Decision::ImplicitDeny
    );
}

#[test]
fn extensions_are_apart() {
    let all_of_aws = policy(&json!({"Statement": [
        {"Effect": "Allow", "Action": "bedrock-agentcore:*", "Resource": "*"},
    ]}));
    let grant = Arn::grant("us-east-1", "000000000000", "1");
    assert!(!allows(&all_of_aws, "countersign:GetGrant", &grant));
    assert!(allows(
        &all_of_aws,
        "bedrock-agentcore:CompleteResourceTokenAuth",
        &workload("agent")
    ));
    let all = policy(&json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}));
    assert!(allows(&all, "countersign:GetGrant", &grant));
}

#[test]
fn a_wildcard_stays_in_its_part() {
    let grant = Arn::grant("us-east-1", "000000000000", "1");
    let matches = |resource: &str| {
        let document = json!({"Statement": {"Effect": "Allow", "Action": "*", "Resource": resource}});
        allows(&policy(&document), TOKEN, &grant)
    };
    assert!(matches("arn:aws:countersign:us-east-1:000000000000:grant/*"));
    assert!(matches("arn:*:*:*:*:*"));
    assert!(!matches("arn:aws:bedrock-*:us-east-1:000000000000:*"));
    assert!(!matches("arn:aws:*:us-east-2:000000000000:grant/1"));
    assert!(!matches("arn:aws:countersign:us-east-1:111111111111:grant/1"));
    assert!(!matches("arn:aws:countersign:us-east-1:000000000000:GRANT/1"));
}

#[test]
fn not_action_and_not_resource_are_everything_else() {
    let policy = policy(&json!({"Statement": [
        {"Effect": "Allow", "NotAction": "bedrock-agentcore:Delete*", "NotResource": workload("secret").to_string()},
    ]}));
    assert!(allows(&policy, TOKEN, &workload("agent")));
    assert!(!allows(&policy, TOKEN, &workload("secret")));
    assert!(!allows(
        &policy,
        "bedrock-agentcore:DeleteWorkloadIdentity",
        &workload("agent")
    ));
}

#[test]
fn absent_keys_fail_positive_operators_and_pass_negated_ones() {
    let nothing = Context::default();
    let of = |operator: &str| json!({operator: {"bedrock-agentcore:userid": "a"}});
    assert!(!holds(of("StringEquals"), &nothing));
    assert!(!holds(of("StringLike"), &nothing));
    assert!(holds(of("StringNotEquals"), &nothing));
    assert!(holds(of("StringNotLike"), &nothing));
    assert!(holds(of("StringEqualsIfExists"), &nothing));
    assert!(!holds(of("StringEqualsIfExists"), &user("b")));
    assert!(holds(of("ForAllValues:StringEquals"), &nothing));
    assert!(!holds(of("ForAnyValue:StringEquals"), &nothing));
    assert!(!holds(of("ForAnyValue:StringNotEquals"), &nothing));
    assert!(holds(of("ForAnyValue:StringEqualsIfExists"), &nothing));
    assert!(holds(
        json!({"Null": {"bedrock-agentcore:userid": "true"}}),
        &nothing
    ));
    assert!(!holds(
        json!({"Null": {"bedrock-agentcore:userid": false}}),
        &nothing
    ));
    assert!(holds(
        json!({"Null": {"bedrock-agentcore:userid": false}}),
        &user("a")
    ));
}

#[test]
fn texts_are_compared_exactly_with_wildcards_or_without_case() {
    let of = |operator: &str, value: Value| json!({operator: {"bedrock-agentcore:userid": value}});
    assert!(holds(of("StringEquals", json!(["x", "okta+1"])), &user("okta+1")));
    assert!(!holds(of("StringEquals", json!("okta+*")), &user("okta+1")));
    assert!(holds(of("StringLike", json!("okta+*")), &user("okta+1")));
    assert!(!holds(of("StringLike", json!("okta+?")), &user("okta+12")));
    assert!(holds(
        of("StringEqualsIgnoreCase", json!("JÜRGEN")),
        &user("jürgen")
    ));
    assert!(!holds(
        of("StringNotEqualsIgnoreCase", json!("JÜRGEN")),
        &user("jürgen")
    ));
    assert!(
        !holds(of("StringNotEquals", json!(["a", "b"])), &user("b")),
        "none may be equal"
    );
}

#[test]
fn every_operator_and_every_key_must_hold() {
    let both = |id: &str, service: &str| {
        json!({
            "StringEquals": {"bedrock-agentcore:userid": id, "aws:username": service},
            "Bool": {"aws:SecureTransport": "false"},
        })
    };
    assert!(holds(both("a", "agent"), &user("a")));
    assert!(!holds(both("b", "agent"), &user("a")));
    assert!(!holds(both("a", "other"), &user("a")));
    let secure = Context {
        secure_transport: true,
        ..user("a")
    };
    assert!(!holds(both("a", "agent"), &secure));
}

#[test]
fn scopes_are_capped() {
    let cap = json!({"ForAllValues:StringLike": {"countersign:scopes": ["issues:*", "openid"]}});
    assert!(holds(cap.clone(), &scopes(&["issues:read", "openid"])));
    assert!(!holds(cap.clone(), &scopes(&["issues:read", "repo"])));
    assert!(holds(cap, &scopes(&[])), "nothing asked, as in IAM");
    let some = json!({
        "ForAllValues:StringLike": {"countersign:scopes": "issues:*"},
        "Null": {"countersign:scopes": "false"},
    });
    assert!(!holds(some.clone(), &scopes(&[])));
    assert!(holds(some, &scopes(&["issues:read"])));
    let any = json!({"ForAnyValue:StringEquals": {"countersign:scopes": "admin"}});
    assert!(holds(any.clone(), &scopes(&["issues:read", "admin"])));
    assert!(!holds(any, &scopes(&["issues:read"])));
}

#[test]
fn numbers_dates_addresses_and_arns() {
    let nothing = Context::default();
    for (condition, expected) in [
        (
            json!({"NumericGreaterThanEquals": {"aws:EpochTime": "1800000000"}}),
            true,
        ),
        (
            json!({"NumericLessThan": {"aws:EpochTime": 1_800_000_000}}),
            false,
        ),
        (json!({"NumericNotEquals": {"aws:EpochTime": "1.5"}}), true),
        (
            json!({"DateGreaterThan": {"aws:CurrentTime": "2027-01-15T07:59:59Z"}}),
            true,
        ),
        (
            json!({"DateGreaterThan": {"aws:CurrentTime": "2027-01-15T09:00:00+01:00"}}),
            false,
        ),
        (json!({"DateLessThan": {"aws:CurrentTime": "2027-01-15"}}), false),
        (json!({"DateEquals": {"aws:CurrentTime": 1_800_000_000}}), true),
        (
            json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/a*"}}),
            true,
        ),
        (
            json!({"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::000000000000:user/?gent"}}),
            true,
        ),
        (
            json!({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::1*:user/agent"}}),
            true,
        ),
        (
            json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:*:user/agent:*:*:*"}}),
            false,
        ),
    ] {
        assert_eq!(holds(condition.clone(), &nothing), expected, "{condition}");
    }
    let from = |address: &str| Context {
        source_ip: Some(address.parse().expect("an address")),
        ..Context::default()
    };
    let inside = json!({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]}});
    for (address, expected) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("11.0.0.1", false),
        ("2001:db8::1", true),
        ("2001:db9::1", false),
        ("192.0.2.1", true),
        ("192.0.2.2", false),
    ] {
        assert_eq!(holds(inside.clone(), &from(address)), expected, "{address}");
        let outside = json!({"NotIpAddress": {"aws:SourceIp": inside["IpAddress"]["aws:SourceIp"]}});
        assert_eq!(holds(outside, &from(address)), !expected, "{address}");
    }
    assert!(!holds(inside, &nothing), "an unknown source is in no range");
}

#[test]
fn claims_are_read_from_the_token() {
    let claims = r#"{"iss":"https://idp.example","sub":"1001","aud":["a","b"],"admin":true,"scope":"x y"}"#;
    let token = format!("e30.{}.sig", countersign_crypto::b64url(claims.as_bytes()));
    let context = Context {
        inbound_jwt: Some(Sensitive::from(token)),
        ..Context::default()
    };
    let claim = |name: &str, value: &str| json!({"StringEquals": {format!("bedrock-agentcore:InboundJwtClaim/{name}"): value}});
    assert!(holds(claim("iss", "https://idp.example"), &context));
    assert!(holds(claim("aud", "b"), &context));
    assert!(holds(claim("admin", "true"), &context));
    assert!(holds(claim("scope", "x y"), &context));
    assert!(!holds(claim("sub", "1002"), &context));
    assert!(!holds(claim("client_id", "c"), &context));
    let doubled = format!(
        "e30.{}.sig",
        countersign_crypto::b64url(br#"{"sub":"1","sub":"2"}"#)
    );
    let context = Context {
        inbound_jwt: Some(Sensitive::from(doubled)),
        ..Context::default()
    };
    assert!(!holds(claim("sub", "1"), &context) && !holds(claim("sub", "2"), &context));
}

#[test]
fn tags_and_variables() {
    let policy = policy(&json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": workload("${aws:PrincipalTag/team}-*").to_string(),
         "Condition": {"StringEquals": {"aws:ResourceTag/Team": "${aws:PrincipalTag/team}"}}},
    ]}));
    assert!(policy.reads_resource_tags());
    let decide = |name: &str, own: &[(&str, &str)], its: &[(&str, &str)]| {
        let (own, its) = (tags(own), tags(its));
        decide_tagged(
            &policy,
            TOKEN,
            &workload(name),
            &Context::default(),
            &own,
            Some(&its),
        )
    };
    let blue = [("team", "blue")];
    assert_eq!(decide("blue-1", &blue, &[("team", "blue")]), Decision::Allowed);
    assert_eq!(
        decide("blue-1", &blue, &[("team", "red")]),
        Decision::ImplicitDeny
    );
    assert_eq!(
        decide("red-1", &blue, &[("team", "blue")]),
        Decision::ImplicitDeny
    );
    assert_eq!(decide("blue-1", &[], &[("team", "blue")]), Decision::ImplicitDeny);
    assert_eq!(decide("blue-1", &blue, &[]), Decision::ImplicitDeny);
    let star = [("team", "*")];
    assert_eq!(
        decide("red-1", &star, &[("team", "*")]),
        Decision::ImplicitDeny,
        "a tag's * is no wildcard"
    );
    assert_eq!(decide("*-1", &star, &[("team", "*")]), Decision::Allowed);
}

#[test]
fn a_variable_without_a_value_permits_nothing() {
    let of = |effect: &str, operator: &str| {
        policy(&json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": if effect == "Allow" { "arn:aws:s3:::none" } else { "*" }},
            {"Effect": effect, "Action": "*", "Resource": "*",
             "Condition": {operator: {"aws:username": "${aws:PrincipalTag/owner}"}}},
        ]}))
    };
    let decide = |policy: &Policy| decide(policy, TOKEN, &workload("agent"), &Context::default());
    assert_eq!(decide(&of("Allow", "StringEquals")), Decision::ImplicitDeny);
    assert_eq!(decide(&of("Allow", "StringNotEquals")), Decision::ImplicitDeny);
    assert_eq!(decide(&of("Deny", "StringEquals")), Decision::Allowed);
    assert_eq!(
        decide(&of("Deny", "StringNotEquals")),
        Decision::ExplicitDeny { statement: 1 }
    );
    let with_default = json!({"StringEquals": {"aws:username": "${aws:PrincipalTag/owner, 'agent'}"}});
    assert!(holds(with_default, &Context::default()));
}

#[test]
fn an_explanation_names_the_element_that_fails() {
    let policy = policy(&json!({"Version": "2012-10-17", "Statement": [
        {"Sid": "Mine", "Effect": "Allow", "Action": "bedrock-agentcore:Get*", "Resource": "*",
         "Condition": {"StringLike": {"bedrock-agentcore:userid": "okta+*"}}},
    ]}));
    let simulation = Simulation::new(NOW, Tags::new());
    let arn = Arn::principal("000000000000", "agent");
    let facts = simulation.facts(&arn, "agent", "us-east-1", None);
    let explained = policy.explain(TOKEN, &workload("agent"), &facts);
    let statement = &explained.statements[0];
    assert_eq!(
        (statement.statement, statement.sid.as_deref(), statement.applies),
        (1, Some("Mine"), false)
    );
    let held: Vec<bool> = statement.elements.iter().map(|element| element.holds).collect();
    assert_eq!(held, [true, true, false]);
    let condition = &statement.elements[2];
    assert_eq!(condition.element, "StringLike");
    assert_eq!(condition.key.as_deref(), Some("bedrock-agentcore:userid"));
    assert_eq!(condition.actual, None);
}
