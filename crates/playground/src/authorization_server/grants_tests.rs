//! One use of each code and refresh token, and what a second one costs.

use countersign_crypto::testing::SeededRandom;

use super::*;

const MONTH: Duration = Duration::from_hours(30 * 24);

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const URI: &str = "http://localhost:8407/callback";

struct Fixture {
    grants: Grants,
    random: SeededRandom,
}

impl Fixture {
    fn new() -> Self {
        Self {
            grants: Grants::default(),
            random: SeededRandom::new(1),
        }
    }

    fn code(&mut self) -> String {
        let interaction = Interaction {
            browser: String::new(),
            client_id: "client".into(),
            redirect_uri: URI.into(),
            state: None,
            scopes: vec!["issues:read".into(), "issues:write".into()],
            code_challenge: Some(b64url(&sha256(VERIFIER.as_bytes()))),
            offline: true,
            marked: false,
            nonce: None,
            not_before: None,
            started_at: NOW,
        };
        let session = Session {
            username: "alice".into(),
            authenticated_at: NOW,
        };
        self.grants
            .issue_code(&self.random, NOW, &interaction, &session, Duration::from_mins(1))
    }

    fn redeem(&mut self, code: &str, now: Timestamp) -> Result<Redeemed, GrantError> {
        self.grants.redeem_code(code, "client", URI, Some(VERIFIER), now)
    }

    fn tokens(&mut self, redeemed: &Redeemed) -> (String, String) {
        let issued =
            self.grants
                .issue_tokens(&self.random, NOW, redeemed, Duration::from_mins(2), Some(MONTH));
        (issued.access_token, issued.refresh_token.expect("asked for"))
    }

    fn refresh(&mut self, text: &str) -> Result<Redeemed, GrantError> {
        self.grants.redeem_refresh_token(text, "client", None, true, NOW)
    }
}

#[test]
fn a_second_use_of_a_code_ends_the_grant() {
    let mut fixture = Fixture::new();
    let code = fixture.code();
    let redeemed = fixture.redeem(&code, NOW).expect("first use");
    let (access, refresh) = fixture.tokens(&redeemed);
    assert!(fixture.grants.access(&access, NOW).is_some());
    assert_eq!(fixture.redeem(&code, NOW).err(), Some(GrantError::Reused));
    assert!(fixture.grants.access(&access, NOW).is_none());
    assert_eq!(fixture.refresh(&refresh).err(), Some(GrantError::Unknown));
    assert_eq!(
        fixture.redeem(&code, NOW).err(),
        Some(GrantError::Reused),
        "and stays so"
    );
}

#[test]
fn a_code_is_used_up_by_a_wrong_use_and_expires() {
    let mut fixture = Fixture::new();
    let code = fixture.code();
    let wrong = fixture
        .grants
        .redeem_code(&code, "client", URI, Some("another verifier"), NOW);
    assert_eq!(wrong.err(), Some(GrantError::CodeVerifier));
    assert_eq!(fixture.redeem(&code, NOW).err(), Some(GrantError::Reused));

    let code = fixture.code();
    let wrong = fixture.grants.redeem_code(
        &code,
        "client",
        "http://localhost:8407/other",
        Some(VERIFIER),
        NOW,
    );
    assert_eq!(wrong.err(), Some(GrantError::RedirectUri));

    let code = fixture.code();
    let other = fixture
        .grants
        .redeem_code(&code, "other", URI, Some(VERIFIER), NOW);
    assert_eq!(other.err(), Some(GrantError::OtherClient));
    assert!(
        fixture.redeem(&code, NOW.plus(Duration::from_secs(59))).is_ok(),
        "another client changes nothing"
    );

    let code = fixture.code();
    assert_eq!(
        fixture.redeem(&code, NOW.plus(Duration::from_mins(1))).err(),
        Some(GrantError::Expired)
    );
}

#[test]
fn reuse_of_a_refresh_token_kills_the_family() {
    let mut fixture = Fixture::new();
    let code = fixture.code();
    let redeemed = fixture.redeem(&code, NOW).expect("first use");
    let (_, first) = fixture.tokens(&redeemed);
    let redeemed = fixture.refresh(&first).expect("first use");
    let (access, second) = fixture.tokens(&redeemed);
    assert_eq!(fixture.refresh(&first).err(), Some(GrantError::Reused));
    assert_eq!(fixture.refresh(&second).err(), Some(GrantError::Unknown));
    assert!(fixture.grants.access(&access, NOW).is_none());
}

#[test]
fn refreshing_narrows_and_never_widens() {
    let mut fixture = Fixture::new();
    let code = fixture.code();
    let redeemed = fixture.redeem(&code, NOW).expect("first use");
    let (_, refresh) = fixture.tokens(&redeemed);
    let wide = Some(vec!["issues:read".to_owned(), "admin".to_owned()]);
    assert_eq!(
        fixture
            .grants
            .redeem_refresh_token(&refresh, "client", wide, true, NOW)
            .err(),
        Some(GrantError::Scope)
    );
    let narrow = Some(vec!["issues:read".to_owned()]);
    let redeemed = fixture
        .grants
        .redeem_refresh_token(&refresh, "client", narrow, true, NOW)
        .expect("not used up");
    assert_eq!(redeemed.scopes, ["issues:read"]);
}

#[test]
fn revoking_and_expiry() {
    let mut fixture = Fixture::new();
    let code = fixture.code();
    let redeemed = fixture.redeem(&code, NOW).expect("first use");
    let (access, refresh) = fixture.tokens(&redeemed);
    let (other_access, _) = fixture.tokens(&redeemed);
    assert!(
        fixture
            .grants
            .access(&access, NOW.plus(Duration::from_secs(119)))
            .is_some()
    );
    assert!(
        fixture
            .grants
            .access(&access, NOW.plus(Duration::from_mins(2)))
            .is_none()
    );

    fixture.grants.revoke(&access, "other");
    assert!(fixture.grants.access(&access, NOW).is_some());
    fixture.grants.revoke(&access, "client");
    assert!(fixture.grants.access(&access, NOW).is_none());
    assert!(fixture.grants.access(&other_access, NOW).is_some());
    fixture.grants.revoke(&refresh, "client");
    assert!(fixture.grants.access(&other_access, NOW).is_none());
}

#[test]
fn what_cannot_matter_is_forgotten() {
    let mut fixture = Fixture::new();
    let code = fixture.code();
    let redeemed = fixture.redeem(&code, NOW).expect("first use");
    fixture.tokens(&redeemed);
    fixture.grants.prune(NOW.plus(MONTH));
    let Grants {
        by_id,
        codes,
        refresh_tokens,
        access_tokens,
    } = &fixture.grants;
    assert!(by_id.is_empty() && codes.is_empty() && refresh_tokens.is_empty() && access_tokens.is_empty());
}
