//! Our shapes against botocore's models of the service.
//!
//! `COUNTERSIGN_BOTOCORE_DATA` names the directory into which `tests/lib/export_models.py` has written the
//! models; `./test` sets it. Without it there is nothing to compare with and the test does nothing; with it,
//! anything missing or different fails, and so does an operation of the models that we do not know.

use std::collections::BTreeSet;
use std::path::PathBuf;

use countersign_api::validate::Validate as _;
use countersign_api::{ApiError, Checker, ErrorCode, Operation, control, data, operation};
use serde_json::{Value, json};

/// An operation without its types.
struct Row {
    name: &'static str,
    method: http::Method,
    path: &'static str,
    success: u16,
    parse: fn(&Value) -> Result<(), ApiError>,
    round_trip: fn(Value) -> Value,
    /// Inputs that together have every member we support.
    inputs: Vec<Value>,
    output: Value,
}

fn row<O: Operation>(inputs: Vec<Value>, output: Value) -> Row {
    Row {
        name: O::NAME,
        method: O::METHOD,
        path: O::PATH,
        success: O::SUCCESS,
        parse: |input| {
            let (path, body) = request::<O>(input);
            let input = operation::parse_request::<O>(&path.parse().expect("a path"), &body)?;
            // What we send is what we accept.
            let (path, body) = operation::to_request::<O>(&input).expect("an input serialises");
            let mut check = Checker::new();
            operation::parse_request::<O>(&path.parse().expect("a path"), &body)?.validate(&mut check);
            check.finish()
        },
        round_trip: |output| {
            let output: O::Output = serde_json::from_value(output).expect("an output of the model");
            serde_json::to_value(&output).expect("an output serialises")
        },
        inputs,
        output,
    }
}

/// A request with `input` as the SDKs write it: label, query, body.
fn request<O: Operation>(input: &Value) -> (String, Vec<u8>) {
    let encoded = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let mut members = input.as_object().expect("an object").clone();
    let mut path = O::PATH.to_owned();
    if let Some((prefix, label)) = O::PATH.strip_suffix('}').and_then(|path| path.split_once('{')) {
        let value = members.remove(label).unwrap_or_default();
        path = format!("{prefix}{}", encoded(value.as_str().unwrap_or_default()));
    }
    let mut separator = '?';
    for member in O::QUERY {
        for item in members
            .remove(*member)
            .iter()
            .filter_map(Value::as_array)
            .flatten()
        {
            path.push(separator);
            path.extend([*member, "=", &*encoded(item.as_str().expect("text"))]);
            separator = '&';
        }
    }
    let body = match O::METHOD {
        http::Method::GET | http::Method::DELETE => Vec::new(),
        _ => serde_json::to_vec(&members).expect("JSON"),
    };
    (path, body)
}

fn data_plane() -> Vec<Row> {
    let uri = "urn:ietf:params:oauth:request_uri:Mzc3YjQyMzAtZDM3MS00NGIyLTgyYzUtNmU1MmMzNDFlNDYy";
    let token = json!({"workloadAccessToken": "wat-opaque-0123"});
    vec![
        row::<data::GetWorkloadAccessToken>(vec![json!({"workloadName": "agent-one"})], token.clone()),
        row::<data::GetWorkloadAccessTokenForJWT>(
            vec![json!({"workloadName": "agent-one", "userToken": "aaa.bbb.ccc"})],
            token.clone(),
        ),
        row::<data::GetWorkloadAccessTokenForUserId>(
            vec![json!({"workloadName": "agent-one", "userId": "user-1"})],
            token,
        ),
        row::<data::GetResourceOauth2Token>(
            vec![json!({
                "workloadIdentityToken": "wat-opaque-0123", "resourceCredentialProviderName": "my-google",
                "scopes": ["openid", "email"], "oauth2Flow": "USER_FEDERATION", "sessionUri": uri,
                "resourceOauth2ReturnUrl": "http://localhost:8081/oauth2/callback", "forceAuthentication": true,
                "customState": "st-1", "customParameters": {"access_type": "offline"},
                "resources": ["https://api.example.com"], "audiences": ["aud1"],
            })],
            json!({"authorizationUrl": "https://id.example/x", "sessionUri": uri, "sessionStatus": "IN_PROGRESS", "accessToken": "at"}),
        ),
        row::<data::CompleteResourceTokenAuth>(
            vec![
                json!({"userIdentifier": {"userId": "user-1"}, "sessionUri": uri}),
                json!({"userIdentifier": {"userToken": "aaa.bbb.ccc"}, "sessionUri": uri}),
            ],
            json!({}),
        ),
        row::<data::GetResourceApiKey>(
            vec![
                json!({"workloadIdentityToken": "wat-opaque-0123", "resourceCredentialProviderName": "my-key"}),
            ],
            json!({"apiKey": "sk-123"}),
        ),
    ]
}

fn control_plane() -> Vec<Row> {
    let workload = json!({
        "name": "agent-one", "workloadIdentityArn": "arn:aws:bedrock-agentcore:us-east-1:123456789012:workload-identity-directory/default/workload-identity/agent-one",
        "allowedResourceOauth2ReturnUrls": ["http://localhost:8081/oauth2/callback"],
    });
    let timed = with(
        &workload,
        json!({"createdTime": 1_795_456_800.123, "lastUpdatedTime": 1_795_456_860.5}),
    );
    let input = json!({"name": "agent-one", "allowedResourceOauth2ReturnUrls": ["http://localhost:8081/oauth2/callback"]});
    let name = || vec![json!({"name": "agent-one"})];
    let page = || vec![json!({"maxResults": 20, "nextToken": "tok1"})];
    let item = json!({"name": "agent-one", "workloadIdentityArn": workload["workloadIdentityArn"]});
    let mut rows = vec![
        row::<control::CreateWorkloadIdentity>(vec![with(&input, json!({"tags": {"env": "dev"}}))], workload),
        row::<control::GetWorkloadIdentity>(name(), timed.clone()),
        row::<control::UpdateWorkloadIdentity>(vec![input], timed),
        row::<control::DeleteWorkloadIdentity>(name(), json!({})),
        row::<control::ListWorkloadIdentities>(
            page(),
            json!({"workloadIdentities": [item], "nextToken": "tok2"}),
        ),
    ];
    rows.extend(providers(name, page));
    rows.extend(api_keys(name, page));
    rows.extend(token_vault());
    rows.extend(tags());
    rows
}

fn external() -> Value {
    json!({"secretId": "partners/secret", "jsonKey": "key"})
}

fn api_keys(name: fn() -> Vec<Value>, page: fn() -> Vec<Value>) -> Vec<Row> {
    let created = json!({
        "apiKeySecretArn": {"secretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:bedrock-agentcore-identity!default/apikey/my-key-AbC123"},
        "apiKeySecretSource": "EXTERNAL", "apiKeySecretJsonKey": "key", "name": "my-key",
        "credentialProviderArn": "arn:aws:bedrock-agentcore:us-east-1:123456789012:token-vault/default/apikeycredentialprovider/my-key",
    });
    let times = json!({"createdTime": 1_795_456_800.123, "lastUpdatedTime": 1_795_456_860.5});
    let described = with(&created, times.clone());
    let inputs = vec![
        json!({"name": "my-key", "apiKey": "sk-123", "apiKeySecretSource": "MANAGED"}),
        json!({"name": "my-key", "apiKeySecretSource": "EXTERNAL", "apiKeySecretConfig": external()}),
    ];
    let tagged = inputs
        .iter()
        .map(|input| with(input, json!({"tags": {"env": "dev"}})))
        .collect();
    let item = with(
        &json!({"name": "my-key", "credentialProviderArn": created["credentialProviderArn"]}),
        times,
    );
    vec![
        row::<control::CreateApiKeyCredentialProvider>(tagged, created),
        row::<control::GetApiKeyCredentialProvider>(name(), described.clone()),
        row::<control::UpdateApiKeyCredentialProvider>(inputs, described),
        row::<control::DeleteApiKeyCredentialProvider>(name(), json!({})),
        row::<control::ListApiKeyCredentialProviders>(
            page(),
            json!({"credentialProviders": [item], "nextToken": "t"}),
        ),
    ]
}

const KMS_KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555";

fn token_vault() -> Vec<Row> {
    let key = json!({"keyType": "CustomerManagedKey", "kmsKeyArn": KMS_KEY});
    let vault =
        json!({"tokenVaultId": "default", "kmsConfiguration": key, "lastModifiedDate": 1_795_456_800.0});
    let id = || json!({"tokenVaultId": "default"});
    let set = with(&id(), json!({"kmsConfiguration": key}));
    vec![
        row::<control::GetTokenVault>(vec![id()], vault.clone()),
        row::<control::SetTokenVaultCMK>(vec![set], vault.clone()),
        row::<control::ResetTokenVaultKeyMaterial>(vec![id()], vault),
    ]
}

fn tags() -> Vec<Row> {
    let arn = "arn:aws:bedrock-agentcore:us-east-1:123456789012:token-vault/default";
    vec![
        row::<control::TagResource>(vec![json!({"resourceArn": arn, "tags": {"k": "v"}})], json!({})),
        row::<control::UntagResource>(
            vec![json!({"resourceArn": arn, "tagKeys": ["k", "k 2"]})],
            json!({}),
        ),
        row::<control::ListTagsForResource>(vec![json!({"resourceArn": arn})], json!({"tags": {"k": "v"}})),
    ]
}

/// Recognised and not offered: nothing of their input is looked at.
fn not_offered() -> Vec<Row> {
    use control::not_offered as n;
    fn bare<O: Operation>() -> Row {
        row::<O>(vec![], json!({}))
    }
    vec![
        bare::<n::CreatePaymentCredentialProvider>(),
        bare::<n::GetPaymentCredentialProvider>(),
        bare::<n::UpdatePaymentCredentialProvider>(),
        bare::<n::DeletePaymentCredentialProvider>(),
        bare::<n::ListPaymentCredentialProviders>(),
        bare::<n::GetResourcePaymentToken>(),
        bare::<n::CreateConsentPortal>(),
        bare::<n::GetConsentPortal>(),
        bare::<n::UpdateConsentPortal>(),
        bare::<n::DeleteConsentPortal>(),
        bare::<n::ListConsentPortals>(),
        bare::<n::PutResourcePolicy>(),
        bare::<n::GetResourcePolicy>(),
        bare::<n::DeleteResourcePolicy>(),
    ]
}

fn providers(name: fn() -> Vec<Value>, page: fn() -> Vec<Value>) -> Vec<Row> {
    let config = |discovery: Value, extra: Value| {
        let custom = with(
            &json!({"oauthDiscovery": discovery, "clientId": "cid", "clientSecret": "csec"}),
            extra,
        );
        json!({
            "name": "my-custom", "credentialProviderVendor": "CustomOauth2",
            "oauth2ProviderConfigInput": {"customOauth2ProviderConfig": custom},
        })
    };
    let metadata = json!({
        "issuer": "https://as.example.com", "authorizationEndpoint": "https://as.example.com/authorize",
        "tokenEndpoint": "https://as.example.com/token", "responseTypes": ["code"],
        "tokenEndpointAuthMethods": ["client_secret_basic"],
    });
    let url = json!({"discoveryUrl": "https://as.example.com/.well-known/openid-configuration"});
    let lattice =
        json!({"selfManagedLatticeResource": {"resourceConfigurationIdentifier": "rcfg-0123456789abcdef0"}});
    let vpc = json!({"managedVpcResource": {
        "vpcIdentifier": "vpc-01234567", "subnetIds": ["subnet-01234567"], "endpointIpAddressType": "IPV4",
        "securityGroupIds": ["sg-01234567"], "tags": {"k": "v"}, "routingDomain": "as.example.com",
    }});
    let exchange = json!({
        "grantType": "TOKEN_EXCHANGE",
        "tokenExchangeGrantTypeConfig": {"actorTokenContent": "M2M", "actorTokenScopes": ["s"]},
        "onBehalfOfAuthenticationConfig": {"clientAuthenticationMethod": "NO_CLIENT"},
    });
    let signed = json!({
        "privateKeySource": {"kmsKeySource": {"kmsKeyArn": KMS_KEY}}, "signingAlgorithm": "ES256",
        "additionalHeaderClaims": {"kid": "k"}, "additionalPayloadClaims": {"aud": "https://as.example.com"},
    });
    let mut inputs = vec![
        config(
            json!({"authorizationServerMetadata": metadata}),
            json!({
                "clientSecretSource": "MANAGED", "onBehalfOfTokenExchangeConfig": exchange,
                "privateEndpoint": lattice,
                "privateEndpointOverrides": [{"domain": "as.example.com", "privateEndpoint": lattice}],
                "certificateConfigurations": [{"s3": {"uri": "s3://bucket/key", "bucketOwnerAccountId": "123456789012"}}],
            }),
        ),
        config(
            url.clone(),
            json!({
                "clientSecret": "", "clientAuthenticationMethod": "PRIVATE_KEY_JWT", "privateKeyJwtConfig": signed,
                "privateEndpoint": vpc,
                "privateEndpointOverrides": [{"domain": "as.example.com", "privateEndpoint": vpc}],
                "certificateConfigurations": [{"secretsManager": {
                    "secretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:ca",
                }}],
            }),
        ),
        config(
            url.clone(),
            json!({
                "clientSecret": "", "clientAuthenticationMethod": "CLIENT_SECRET_POST",
                "clientSecretSource": "EXTERNAL", "clientSecretConfig": external(),
            }),
        ),
    ];
    inputs.extend(vendors());
    let created = json!({
        "clientSecretArn": {"secretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:bedrock-agentcore-identity!default/oauth2/my-custom-AbC123"},
        "clientSecretSource": "MANAGED", "clientSecretJsonKey": "key", "name": "my-custom",
        "credentialProviderArn": "arn:aws:bedrock-agentcore:us-east-1:123456789012:token-vault/default/oauth2credentialprovider/my-custom",
        "callbackUrl": "https://id.example/identities/oauth2/callback/6f1d2c3b-4a5e-4f60-8a7b-9c0d1e2f3a4b",
        "oauth2ProviderConfigOutput": {"customOauth2ProviderConfig": {
            "oauthDiscovery": url, "clientId": "cid", "clientAuthenticationMethod": "CLIENT_SECRET_POST",
            "onBehalfOfTokenExchangeConfig": exchange, "privateKeyJwtConfig": signed, "privateEndpoint": vpc,
            "privateEndpointOverrides": [{"domain": "as.example.com", "privateEndpoint": lattice}],
            "certificateConfigurations": [{"s3": {"uri": "s3://bucket/key"}}],
        }},
        "status": "READY",
    });
    let times = json!({"createdTime": 1_795_456_800.123, "lastUpdatedTime": 1_795_456_860.5});
    let described = with(
        &with(&created, times.clone()),
        json!({"credentialProviderVendor": "CustomOauth2"}),
    );
    let item = with(
        &json!({"name": "my-custom", "credentialProviderVendor": "CustomOauth2", "credentialProviderArn": created["credentialProviderArn"]}),
        times,
    );
    let tagged: Vec<Value> = inputs
        .iter()
        .map(|input| with(input, json!({"tags": {"env": "dev"}})))
        .collect();
    vec![
        row::<control::CreateOauth2CredentialProvider>(tagged, created),
        row::<control::GetOauth2CredentialProvider>(
            name(),
            with(&described, json!({"failureReason": "none"})),
        ),
        row::<control::UpdateOauth2CredentialProvider>(inputs, described),
        row::<control::DeleteOauth2CredentialProvider>(name(), json!({})),
        row::<control::ListOauth2CredentialProviders>(
            page(),
            json!({"credentialProviders": [item], "nextToken": "t"}),
        ),
    ]
}

fn with(value: &Value, members: Value) -> Value {
    let mut value = value.clone();
    let (Value::Object(target), Value::Object(members)) = (&mut value, members) else {
        panic!("two objects");
    };
    target.extend(members);
    value
}

/// Every vendor but Custom, with a secret here and one elsewhere.
fn vendors() -> Vec<Value> {
    let mut inputs = Vec::new();
    for (vendor, member, extra) in [
        ("GoogleOauth2", "googleOauth2ProviderConfig", json!({})),
        ("GithubOauth2", "githubOauth2ProviderConfig", json!({})),
        ("SlackOauth2", "slackOauth2ProviderConfig", json!({})),
        ("SalesforceOauth2", "salesforceOauth2ProviderConfig", json!({})),
        ("AtlassianOauth2", "atlassianOauth2ProviderConfig", json!({})),
        ("LinkedinOauth2", "linkedinOauth2ProviderConfig", json!({})),
        (
            "MicrosoftOauth2",
            "microsoftOauth2ProviderConfig",
            json!({"tenantId": "common"}),
        ),
        (
            "OktaOauth2",
            "includedOauth2ProviderConfig",
            json!({
                "issuer": "https://x.okta.com", "authorizationEndpoint": "https://x.okta.com/a",
                "tokenEndpoint": "https://x.okta.com/t",
            }),
        ),
    ] {
        for secret in [
            json!({"clientSecret": "csec", "clientSecretSource": "MANAGED"}),
            json!({"clientSecretSource": "EXTERNAL", "clientSecretConfig": external()}),
        ] {
            let config = with(&with(&json!({"clientId": "cid"}), secret), extra.clone());
            inputs.push(json!({
                "name": "my-provider", "credentialProviderVendor": vendor,
                "oauth2ProviderConfigInput": {member: config},
            }));
        }
    }
    for vendor in [
        "XOauth2",
        "OneLoginOauth2",
        "PingOneOauth2",
        "FacebookOauth2",
        "YandexOauth2",
        "RedditOauth2",
        "ZoomOauth2",
        "TwitchOauth2",
        "SpotifyOauth2",
        "DropboxOauth2",
        "NotionOauth2",
        "HubspotOauth2",
        "CyberArkOauth2",
        "FusionAuthOauth2",
        "Auth0Oauth2",
        "CognitoOauth2",
    ] {
        inputs.push(json!({
            "name": "my-provider", "credentialProviderVendor": vendor,
            "oauth2ProviderConfigInput": {
                "includedOauth2ProviderConfig": {"clientId": "cid", "clientSecret": "csec"},
            },
        }));
    }
    inputs
}

struct Model(Value);

/// A place in an input: how our errors name it, and how `Value::pointer` finds it.
#[derive(Clone, Default)]
struct Place {
    name: String,
    pointer: String,
}

impl Place {
    fn member(&self, member: &str) -> Self {
        let dot = if self.name.is_empty() { "" } else { "." };
        Self {
            name: format!("{}{dot}{member}", self.name),
            pointer: format!("{}/{member}", self.pointer),
        }
    }

    fn item(&self, index: usize) -> Self {
        Self {
            name: format!("{}[{index}]", self.name),
            pointer: format!("{}/{index}", self.pointer),
        }
    }
}

impl Model {
    fn shape(&self, name: &str) -> &Value {
        self.0["shapes"]
            .get(name)
            .unwrap_or_else(|| panic!("shape {name}"))
    }

    fn target(&self, reference: &Value) -> &Value {
        self.shape(reference["shape"].as_str().expect("a shape's name"))
    }

    /// Calls `visit` for the shape of every value in `input`.
    fn walk(
        &self,
        shape: &Value,
        value: &Value,
        place: &Place,
        visit: &mut dyn FnMut(&Value, &Value, &Place),
    ) {
        visit(shape, value, place);
        match shape["type"].as_str().expect("a type") {
            "structure" => {
                for (member, value) in value.as_object().expect("an object") {
                    let reference = shape["members"]
                        .get(member)
                        .unwrap_or_else(|| panic!("the model has no {member}"));
                    self.walk(self.target(reference), value, &place.member(member), visit);
                }
            }
            "list" => {
                for (index, value) in value.as_array().expect("an array").iter().enumerate() {
                    self.walk(self.target(&shape["member"]), value, &place.item(index), visit);
                }
            }
            "map" => {
                for (key, value) in value.as_object().expect("an object") {
                    self.walk(self.target(&shape["value"]), value, &place.member(key), visit);
                }
            }
            _ => {}
        }
    }
}

/// What is asked of one operation's input.
struct Probe<'a> {
    row: &'a Row,
    input: &'a Value,
}

impl Probe<'_> {
    fn replaced(&self, place: &Place, value: Value) -> Value {
        let mut input = self.input.clone();
        *input.pointer_mut(&place.pointer).expect("the place") = value;
        input
    }

    fn accepted(&self, place: &Place, value: Value) {
        let input = self.replaced(place, value);
        let result = (self.row.parse)(&input);
        assert_eq!(result, Ok(()), "{} {}", self.row.name, place.name);
    }

    /// Gives the rule that is named.
    fn refused(&self, place: &Place, input: &Value) -> String {
        let context = format!("{} {}", self.row.name, place.name);
        let error = (self.row.parse)(input).expect_err(&context);
        let body: Value = serde_json::from_slice(error.to_http().body()).expect("JSON");
        assert_eq!(body["reason"], "FieldValidationFailed", "{context}: {body}");
        let field = error.fields.iter().find(|field| field.name == place.name);
        field
            .unwrap_or_else(|| panic!("{context} is not named in {body}"))
            .message
            .clone()
    }

    fn check(&self, shape: &Value, value: &Value, place: &Place) {
        let (least, most) = (shape["min"].as_u64(), shape["max"].as_u64());
        match shape["type"].as_str() {
            Some("structure") => self.check_structure(shape, place),
            Some("string") => self.check_string(shape, least, most, place),
            Some("integer" | "long") => {
                for outside in [least.map(|least| least - 1), most.map(|most| most + 1)]
                    .into_iter()
                    .flatten()
                {
                    self.refused(place, &self.replaced(place, json!(outside)));
                }
                for inside in [least, most].into_iter().flatten() {
                    self.accepted(place, json!(inside));
                }
            }
            Some("list") => {
                let item = value[0].clone();
                let items = |count: u64| Value::Array((0..count).map(|_| item.clone()).collect());
                if let Some(most) = most {
                    self.refused(place, &self.replaced(place, items(most + 1)));
                    self.accepted(place, items(most));
                }
                match least {
                    Some(least @ 1..) => {
                        self.refused(place, &self.replaced(place, items(least - 1)));
                    }
                    // An empty list in a query is no list.
                    _ if self.row.path.contains('{') => {}
                    _ => self.accepted(place, items(0)),
                }
            }
            Some("map") => {
                if let Some(most) = most {
                    let items = |count: u64| {
                        (0..count)
                            .map(|n| (format!("k{n}"), json!("v")))
                            .collect::<Value>()
                    };
                    self.refused(place, &self.replaced(place, items(most + 1)));
                    self.accepted(place, items(most));
                }
            }
            _ => {}
        }
    }

    fn check_structure(&self, shape: &Value, place: &Place) {
        for required in shape["required"].as_array().into_iter().flatten() {
            let member = required.as_str().expect("a name");
            let mut input = self.input.clone();
            let parent = input
                .pointer_mut(&place.pointer)
                .and_then(Value::as_object_mut)
                .expect("the structure");
            assert!(
                parent.remove(member).is_some(),
                "{} sample lacks {member}",
                self.row.name
            );
            self.refused(&place.member(member), &input);
        }
        if shape["union"] == true {
            self.refused(place, &self.replaced(place, json!({})));
            self.refused(place, &self.replaced(place, json!({"ofANewerModel": {}})));
        }
    }

    fn check_string(&self, shape: &Value, least: Option<u64>, most: Option<u64>, place: &Place) {
        let text = |count: u64, piece: &str| json!(piece.repeat(usize::try_from(count).expect("a length")));
        if let Some(values) = shape["enum"].as_array() {
            let rule = self.refused(place, &self.replaced(place, json!("SOMETHING_ELSE")));
            for value in values {
                let value = value.as_str().expect("text");
                assert!(
                    rule.contains(&format!("`{value}`")),
                    "{} {}: {rule} lacks {value}",
                    self.row.name,
                    place.name
                );
            }
        }
        if let Some(most) = most {
            self.refused(place, &self.replaced(place, text(most + 1, "a")));
            if shape["pattern"].is_null() && least != Some(0) {
                self.accepted(place, text(most, "a"));
            }
        }
        if let Some(least @ 1..) = least {
            self.refused(place, &self.replaced(place, text(least - 1, "a")));
        }
        if let Some(pattern) = shape["pattern"].as_str() {
            // No pattern of the model matches a control character.
            let rule = self.refused(
                place,
                &self.replaced(place, text(least.unwrap_or(1).max(3), "\u{1}")),
            );
            assert!(
                rule.contains(pattern),
                "{} {}: {rule} is not {pattern}",
                self.row.name,
                place.name
            );
        }
    }
}

fn models() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is told by its environment where the models are"
    )]
    std::env::var_os("COUNTERSIGN_BOTOCORE_DATA").map(PathBuf::from)
}

fn read(service: &str) -> Option<Model> {
    let path = models()?.join(format!("{service}.json"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(Model(serde_json::from_slice(&text).expect("a service model")))
}

fn compare(service: &str, rows: &[Row]) {
    let Some(model) = read(service) else { return };
    for row in rows {
        let operation = &model.0["operations"][row.name];
        let http = &operation["http"];
        assert_eq!(http["requestUri"], row.path, "{}", row.name);
        assert_eq!(http["method"], row.method.as_str(), "{}", row.name);
        assert_eq!(
            http["responseCode"].as_u64().unwrap_or(200),
            u64::from(row.success),
            "{}",
            row.name
        );
        compare_errors(&model, row.name, operation);
        if row.inputs.is_empty() {
            continue;
        }
        let shape = model.target(&operation["input"]);
        for input in &row.inputs {
            assert_eq!((row.parse)(input), Ok(()), "{}", row.name);
            let probe = Probe { row, input };
            model.walk(shape, input, &Place::default(), &mut |shape, value, place| {
                probe.check(shape, value, place);
            });
        }
        covers_every_member(&model, row, shape);
        assert_eq!((row.round_trip)(row.output.clone()), row.output, "{}", row.name);
        if let Some(output) = operation.get("output") {
            model.walk(
                model.target(output),
                &row.output,
                &Place::default(),
                &mut |shape, value, place| {
                    for required in shape["required"].as_array().into_iter().flatten() {
                        let member = required.as_str().expect("a name");
                        assert!(
                            value.get(member).is_some(),
                            "{} output {} lacks {member}",
                            row.name,
                            place.name
                        );
                    }
                    assert!(
                        shape["type"] != "timestamp" || value.is_number(),
                        "{} {}",
                        row.name,
                        place.name
                    );
                },
            );
        }
    }
}

fn compare_errors(model: &Model, name: &str, operation: &Value) {
    for error in operation["errors"].as_array().expect("errors") {
        let exception = error["shape"].as_str().expect("a name");
        let code =
            ErrorCode::from_wire(exception).unwrap_or_else(|| panic!("{name}: no code for {exception}"));
        let status = model.shape(exception)["error"]["httpStatusCode"].as_u64();
        assert_eq!(Some(u64::from(code.status().as_u16())), status, "{exception}");
    }
}

/// The samples have every member of the model.
fn covers_every_member(model: &Model, row: &Row, shape: &Value) {
    let mut seen = std::collections::BTreeMap::<String, (Vec<String>, Vec<String>)>::new();
    for input in &row.inputs {
        model.walk(shape, input, &Place::default(), &mut |shape, value, place| {
            if shape["type"] == "structure" {
                let (known, given) = seen.entry(place.name.clone()).or_default();
                known.extend(shape["members"].as_object().expect("members").keys().cloned());
                given.extend(value.as_object().expect("an object").keys().cloned());
            }
        });
    }
    for (place, (known, given)) in seen {
        if place == "oauth2ProviderConfigInput" {
            continue;
        }
        for member in known {
            assert!(
                given.contains(&member),
                "{} {place}: no sample has {member}",
                row.name
            );
        }
    }
}

/// The identity operations of a model: by their paths, as the model has no other mark.
fn identity_operations(model: &Model) -> BTreeSet<String> {
    let operations = model.0["operations"].as_object().expect("operations");
    let ours = |operation: &Value| {
        let path = operation["http"]["requestUri"].as_str().expect("a path");
        ["/identities/", "/tags/", "/resourcepolicy/"]
            .iter()
            .any(|prefix| path.starts_with(prefix))
    };
    operations
        .iter()
        .filter(|(_, operation)| ours(operation))
        .map(|(name, _)| name.clone())
        .collect()
}

#[test]
fn the_data_plane_is_the_models() {
    compare("bedrock-agentcore", &data_plane());
}

#[test]
fn the_control_plane_is_the_models() {
    compare("bedrock-agentcore-control", &control_plane());
}

#[test]
fn every_identity_operation_of_both_models_is_known() {
    let not_offered = not_offered();
    let known = |rows: &[Row], more: &[Row]| -> BTreeSet<String> {
        rows.iter().chain(more).map(|row| row.name.to_owned()).collect()
    };
    let (payment, others): (Vec<Row>, Vec<Row>) = not_offered
        .into_iter()
        .partition(|row| row.name == "GetResourcePaymentToken");
    for (service, rows, more) in [
        ("bedrock-agentcore", data_plane(), payment),
        ("bedrock-agentcore-control", control_plane(), others),
    ] {
        let Some(model) = read(service) else { return };
        assert_eq!(known(&rows, &more), identity_operations(&model), "{service}");
        compare(service, &more);
    }
}
