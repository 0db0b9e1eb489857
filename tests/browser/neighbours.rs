//! Another host of the same domain sets its own refresh cookie (cookie tossing).

use token_authority::transport::proto::v1::{
    IssueTokensRequest, IssueTokensResponse, ValidateTokenRequest,
};

use crate::chromium::{Chromium, Tab};
use crate::front_end::FrontEnd;
use test_support::replica::{Replica, Setup};

/// The product's page and another page, on two hosts of one domain.
struct Street {
    service: Replica,
    browser: Chromium,
    page: Tab,
    neighbour: Tab,
    authority: String,
}

impl Street {
    async fn on(setup: Setup) -> Self {
        let front_end = FrontEnd::bind().await;
        let origin = |host: &str, port: u16| format!("http://{host}.site.localhost:{port}");
        let own = origin("app", front_end.port());
        let service = setup.set("ALLOWED_ORIGINS", &own).start().await;
        service.ready().await;
        let authority = origin("app", service.http_addr().port());
        let next_door = origin("neighbour", front_end.port());
        front_end.serve(service.tokens());
        let mut browser = Chromium::start();
        let page = browser.open(&format!("{own}/?authority={authority}"));
        let neighbour = browser.open(&format!("{next_door}/?authority={authority}"));
        Self { service, browser, page, neighbour, authority }
    }

    async fn issue(&self, user: &str) -> IssueTokensResponse {
        let ask = IssueTokensRequest { user_id: user.into(), ..Default::default() };
        self.service.tokens().issue_tokens(ask).await.unwrap().into_inner()
    }

    fn set(&mut self, tab: Tab, cookie: &str) {
        self.browser.run_in(tab, &format!("document.cookie = '{cookie}'"));
    }

    /// Refreshes from the page. Returns the user of the answer, and the access token.
    fn refresh(&mut self, headers: &str) -> (String, String) {
        let script = format!(
            "fetch('{}/api/auth/refresh', {{method: 'POST', credentials: 'include', headers: {headers}}})
                .then((answer) => answer.json())",
            self.authority
        );
        let told = self.browser.run_in(self.page, &script);
        let text = |name: &str| told[name].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
        (text("userId"), text("accessToken"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tossed_cookie_is_noticed_and_the_page_picks_its_own_session() {
    let mut street = Street::on(Setup::new()).await;
    assert_eq!(street.browser.run_in(street.page, "logIn('alice')"), 204);
    let (user, access) = street.refresh("{}");
    assert_eq!(user, "alice");
    let ask = ValidateTokenRequest { token: access, ..Default::default() };
    let seen = street.service.tokens().validate_token(ask).await.unwrap().into_inner();

    let tossed = street.issue("mallory").await.refresh_token;
    let cookie = format!("refreshToken={tossed}; Domain=site.localhost; Path=/api/auth/refresh");
    street.set(street.neighbour, &cookie);
    assert_eq!(street.browser.jar().len(), 2);
    let named = format!("{{'X-Session-Id': '{}'}}", seen.session_id);
    assert_eq!(street.refresh(&named).0, "alice");
    // Its new refresh token then replaces the other session's.
    assert_eq!(street.refresh("{}").0, "mallory", "without the header, the newest login wins");
    let metrics = street.service.metrics();
    assert!(metrics.contains("\nrefresh_cookie_users_mixed_total 2\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_bound_name_keeps_the_neighbour_s_cookie_out() {
    let mut street = Street::on(Setup::new().set("REFRESH_COOKIE_NAME", "__Host-refresh")).await;
    let (own, tossed) = (street.issue("alice").await, street.issue("mallory").await);
    let set = |token: &str, more: &str| format!("__Host-refresh={token}; Secure; Path=/{more}");
    street.set(street.page, &set(&own.refresh_token, ""));
    for more in ["; Domain=site.localhost", "api/auth/refresh", "api/auth; Domain=site.localhost"] {
        street.set(street.neighbour, &set(&tossed.refresh_token, more));
    }
    assert_eq!(street.refresh("{}").0, "alice");
    let jar = street.browser.jar();
    let [cookie] = &jar[..] else { panic!("{jar:?}") };
    assert_eq!((cookie.name.as_str(), cookie.path.as_str()), ("__Host-refresh", "/"));
    assert!(cookie.http_only && cookie.value != own.refresh_token, "it was rotated");
}
