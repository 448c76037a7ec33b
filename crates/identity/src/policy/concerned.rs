//! The ARNs that an operation asks the policy about, for a request that nobody makes.

use countersign_api::Arn;

/// Whose ARNs, and what the supposed request names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Concerned<'a> {
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    pub(crate) workload: Option<&'a str>,
    pub(crate) provider: Option<&'a str>,
}

impl Concerned<'_> {
    /// What the operation of `action` asks about, containers before what they contain. Of what the request does not name
    /// only the container; of an action without an operation everything that could be meant.
    pub(crate) fn resources(&self, action: &str) -> Vec<Arn> {
        let (region, account) = (self.region, self.account);
        let directory = || Some(Arn::directory(region, account));
        let vault = || Some(Arn::token_vault(region, account));
        let workload = || {
            self.workload
                .map(|name| Arn::workload_identity(region, account, name))
        };
        let oauth2 = || {
            self.provider
                .map(|name| Arn::oauth2_provider(region, account, name))
        };
        let api_key = || {
            self.provider
                .map(|name| Arn::api_key_provider(region, account, name))
        };
        let (service, operation) = action.split_once(':').unwrap_or(("", action));
        // Actions have no case (IAM, "Action").
        let (service, operation) = (service.to_ascii_lowercase(), operation.to_ascii_lowercase());
        let asked = match (service.as_str(), operation.as_str()) {
            (
                "bedrock-agentcore",
                "getworkloadaccesstoken"
                | "getworkloadaccesstokenforjwt"
                | "getworkloadaccesstokenforuserid"
                | "createworkloadidentity"
                | "getworkloadidentity"
                | "updateworkloadidentity"
                | "deleteworkloadidentity",
            ) => vec![directory(), workload()],
            ("bedrock-agentcore", "listworkloadidentities") => vec![directory()],
            ("bedrock-agentcore", "getresourceapikey") => vec![directory(), vault(), workload(), api_key()],
            (
                "bedrock-agentcore",
                "createoauth2credentialprovider"
                | "getoauth2credentialprovider"
                | "updateoauth2credentialprovider"
                | "deleteoauth2credentialprovider",
            ) => vec![vault(), oauth2()],
            (
                "bedrock-agentcore",
                "createapikeycredentialprovider"
                | "getapikeycredentialprovider"
                | "updateapikeycredentialprovider"
                | "deleteapikeycredentialprovider",
            ) => vec![vault(), api_key()],
            (
                "bedrock-agentcore",
                "listoauth2credentialproviders"
                | "listapikeycredentialproviders"
                | "gettokenvault"
                | "settokenvaultcmk"
                | "resettokenvaultkeymaterial",
            )
            | ("countersign", "listauthorizationsessions" | "recordbindingrefusal") => vec![vault()],
            // One resource by itself, whichever it is.
            ("bedrock-agentcore", "tagresource" | "untagresource" | "listtagsforresource")
                if self.workload.is_some() || self.provider.is_some() =>
            {
                vec![workload(), oauth2()]
            }
            ("countersign", "putreturnhandle") if self.workload.is_some() => vec![workload()],
            ("countersign", "listgrants" | "getgrant" | "revokegrant") => {
                vec![Some(Arn::grant(region, account, "*"))]
            }
            (
                "countersign",
                "createprincipal"
                | "getprincipal"
                | "updateprincipal"
                | "deleteprincipal"
                | "putprincipalpolicy"
                | "getprincipalpolicy"
                | "deleteprincipalpolicy"
                | "simulatepolicy"
                | "createaccesskey"
                | "listaccesskeys"
                | "updateaccesskey"
                | "deleteaccesskey",
            ) => vec![Some(Arn::principal(account, "*"))],
            (
                "countersign",
                "describehealth" | "explainauditrecord" | "exportauditrecords" | "forgetuser"
                | "getauditreport" | "listauditrecords" | "listkeys" | "listprincipals" | "liststops"
                | "listusers" | "retirekey" | "rotatekey" | "verifyaudit",
            ) => vec![Some(Arn::account(region, account))],
            _ => vec![directory(), vault(), workload(), oauth2()],
        };
        asked.into_iter().flatten().collect()
    }
}
