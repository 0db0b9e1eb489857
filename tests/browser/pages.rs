//! The pages for people in Chromium and Firefox: with scripts off and by keyboard alone, on a narrow
//! screen, under the rules of axe-core, and inside a hostile page.
//!
//! `UPDATE_DOCS=1 cargo test --test browser pages` writes the pictures in `docs/images`.

use serde_json::{Value, json};
use test_support::nginx::Nginx;
use test_support::replica::{Replica, Setup};
use test_support::script::Script;
use test_support::tools;
use token_authority::transport::proto::v1::{
    ClientInfo, IssueTokensRequest, IssueTokensResponse, ListSessionsRequest,
};

pub(crate) const NARROW: u32 = 320;
const WIDE: u32 = 1000;

/// A name that is neither HTML nor breaks the page.
const HOSTILE: &str = "<b onclick=alert(1)>Averyverylongwordwithoutanyspacewhichhastobreak</b>";

/// Devices of one user: their `User-Agent`, address and name.
const DEVICES: [(&str, &str, &str); 3] = [
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
         Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
        "2001:db8:85a3::8a2e:370:7334",
        "Zoë's phone",
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/149.0.0.0 Safari/537.36",
        "198.51.100.23",
        HOSTILE,
    ),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "203.0.113.7", ""),
];

/// One tab of a browser.
#[derive(Debug)]
pub(crate) struct Browser(Script);

impl Browser {
    /// Starts a browser. Without `scripts`, the scripts of pages are switched off.
    pub(crate) fn start(engine: &str, scripts: bool, dark: bool) -> Self {
        let axe = tools::folder().join("node/node_modules/axe-core/axe.min.js");
        let settings = json!({ "engine": engine, "scripts": scripts, "dark": dark, "axe": axe });
        let mut browser =
            Self(Script::node(concat!(include_str!("marionette.mjs"), include_str!("pages.mjs"))));
        browser.exchange(&settings);
        browser
    }

    /// Gives a command.
    ///
    /// # Panics
    ///
    /// Panics if the command fails.
    pub(crate) fn tell(&mut self, name: &str, argument: impl Into<Value>) -> Value {
        self.exchange(&json!([name, argument.into()]))
    }

    /// Returns the text of the page.
    pub(crate) fn text(&mut self) -> String {
        self.tell("text", Value::Null).as_str().unwrap().to_owned()
    }

    /// Presses Tab until the focused element begins with that text.
    pub(crate) fn tab_to(&mut self, beginning: &str) {
        let mut seen = Vec::new();
        for _ in 0..60 {
            self.tell("press", json!(["Tab"]));
            let focused = self.tell("focused", Value::Null);
            let words: Vec<_> = focused.as_str().unwrap().split_whitespace().collect();
            let focused = words.join(" ");
            if focused.starts_with(beginning) {
                return;
            }
            seen.push(focused);
        }
        panic!("the keyboard does not reach `{beginning}`, but {seen:?}");
    }

    /// Checks the page on a narrow and on a wide screen: nothing sticks out, and axe-core finds nothing.
    pub(crate) fn check(&mut self) {
        for width in [NARROW, WIDE] {
            self.tell("resize", width);
            let wide =
                "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(
                self.tell("run", wide),
                0,
                "it is wider than {width} pixels: {}",
                self.text()
            );
            let found = self.tell("axe", Value::Null);
            assert_eq!(found["violations"], json!([]), "at {width} pixels");
            assert!(found["passes"].as_u64().unwrap() > 10, "{found}");
        }
        assert_eq!(self.tell("refused", Value::Null), json!([]));
    }

    /// Takes a picture of the page. With `UPDATE_DOCS`, it becomes one of `docs/images`.
    ///
    /// # Panics
    ///
    /// Panics if `docs/images` has no picture of that name.
    pub(crate) fn picture(&mut self, name: &str) {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("{name}.png");
        let path = folder.path().join(&file);
        self.tell("picture", path.to_str().unwrap());
        assert!(std::fs::metadata(&path).unwrap().len() > 5000, "{name}");
        let images = tools::root().join("docs/images");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(&images).unwrap();
            std::fs::copy(&path, images.join(&file)).unwrap();
        }
        assert!(images.join(&file).exists(), "UPDATE_DOCS=1 makes docs/images/{file}");
    }

    fn exchange(&mut self, ask: &Value) -> Value {
        let line = self.0.ask(&ask.to_string());
        let told: Value = serde_json::from_str(&line).expect("the driver answers");
        match &told["failed"] {
            Value::Null => told["done"].clone(),
            failure => panic!("{ask}: {failure}"),
        }
    }
}

/// A service with a user who is logged in on several devices.
struct House {
    service: Replica,
    logins: Vec<IssueTokensResponse>,
    folder: tempfile::TempDir,
}

impl House {
    async fn start() -> Self {
        Self::with_a_device_called(HOSTILE).await
    }

    async fn with_a_device_called(name: &str) -> Self {
        let setup = Setup::new().set_all([
            ("COOKIE_SECURE", "false"),
            ("PAGES_NAME", "Example"),
            ("PAGES_BACK_URL", "/healthz"),
        ]);
        let service = setup.start().await;
        service.ready().await;
        let mut logins = Vec::new();
        for (user_agent, ip_address, device_name) in DEVICES {
            let client = ClientInfo {
                user_agent: user_agent.into(),
                ip_address: ip_address.into(),
                device_name: device_name.replace(HOSTILE, name),
            };
            let ask = IssueTokensRequest {
                user_id: "zoe".into(),
                client: Some(client),
                ..Default::default()
            };
            logins.push(service.tokens().issue_tokens(ask).await.unwrap().into_inner());
        }
        Self { service, logins, folder: tempfile::tempdir().unwrap() }
    }

    fn page(&self) -> String {
        format!("http://localhost:{}/api/auth/sessions", self.service.http_addr().port())
    }

    /// Opens the page in a browser that is logged in on the last device.
    fn open(&self, browser: &mut Browser) {
        let token = &self.logins.last().unwrap().refresh_token;
        let cookie = json!({ "name": "refreshToken", "value": token, "url": self.page() });
        browser.tell("cookie", cookie);
        browser.tell("open", self.page());
    }

    /// Writes a page that is not the service's, and returns its address.
    fn write_page(&self, html: &str) -> String {
        let path = self.folder.path().join("page.html");
        std::fs::write(&path, html).unwrap();
        format!("file://{}", path.display())
    }

    async fn live(&self) -> usize {
        let ask = ListSessionsRequest { user_id: "zoe".into(), ..Default::default() };
        self.service.sessions().list_sessions(ask).await.unwrap().into_inner().sessions.len()
    }
}

async fn sign_out_by_keyboard(engine: &str) {
    let house = House::start().await;
    let mut browser = Browser::start(engine, false, false);
    let scripted = house.write_page("<p>off</p><script>document.body.textContent = 'on'</script>");
    browser.tell("open", scripted);
    assert_eq!(browser.text(), "off", "scripts must be off");
    house.open(&mut browser);
    let text = browser.text();
    for shown in [
        "Your sessions",
        "Firefox on Linux",
        "This device",
        "Safari on iPhone",
        "Zoë's phone",
        "2001:db8:85a3::8a2e:370:7334",
        "Chrome on Windows",
        "<b onclick=alert(1)>",
        "just now",
        "in 7 days",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(!text.contains("Yes, sign out"), "the question comes first: {text}");

    browser.tab_to("Sign out Safari on iPhone");
    browser.tell("press", json!(["Enter"]));
    browser.tab_to("Yes, sign out Safari on iPhone");
    assert_eq!(house.live().await, 3, "nothing happens before the answer");
    browser.tell("submit", Value::Null);
    assert_eq!(house.live().await, 2);
    assert_eq!(browser.tell("url", Value::Null), house.page());
    assert!(!browser.text().contains("iPhone"));

    browser.tab_to("Sign out all others");
    browser.tell("press", json!(["Enter"]));
    browser.tab_to("Yes, sign out all others");
    browser.tell("submit", Value::Null);
    assert_eq!(house.live().await, 1);
    let text = browser.text();
    assert!(text.contains("This device") && !text.contains("Chrome on Windows"), "{text}");

    browser.tab_to("Sign out Firefox on Linux");
    browser.tell("press", json!(["Enter"]));
    browser.tab_to("Yes, sign out Firefox on Linux");
    browser.tell("submit", Value::Null);
    assert_eq!(house.live().await, 0);
    assert!(browser.text().contains("You are signed out"));
    browser.tab_to("Back to Example");
    browser.tell("submit", Value::Null);
    assert!(browser.tell("url", Value::Null).as_str().unwrap().ends_with("/healthz"));
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_needs_neither_scripts_nor_a_mouse() {
    sign_out_by_keyboard("chromium").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn firefox_needs_neither_scripts_nor_a_mouse() {
    sign_out_by_keyboard("firefox").await;
}

/// Checks every page, each with all that can be opened on it open.
async fn is_accessible(engine: &str) {
    let house = House::start().await;
    for dark in [false, true] {
        let mut browser = Browser::start(engine, true, dark);
        browser.tell("open", house.page());
        browser.check();
        house.open(&mut browser);
        browser.check();
        let open = "document.querySelectorAll('details').forEach((one) => (one.open = true))";
        browser.tell("run", open);
        browser.check();
        let scheme = "matchMedia('(prefers-color-scheme: dark)').matches";
        assert_eq!(browser.tell("run", scheme), dark);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_shows_pages_that_everybody_can_use() {
    is_accessible("chromium").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn firefox_shows_pages_that_everybody_can_use() {
    is_accessible("firefox").await;
}

/// A page shows the page in a frame, to make the user click on it (clickjacking). Not even a page of the
/// same origin may.
#[tokio::test(flavor = "multi_thread")]
async fn no_page_can_frame_it() {
    let house = House::start().await;
    let hostile = "location ~ ^/hostile { default_type text/html; return 200 '<p>hostile</p>'; }";
    let nginx = Nginx::before(house.service.http_addr(), hostile);
    let origin = format!("http://localhost:{}", nginx.port());
    for engine in ["chromium", "firefox"] {
        let mut browser = Browser::start(engine, true, false);
        house.open(&mut browser);
        browser.tell("open", format!("{origin}/api/auth/sessions"));
        assert!(browser.text().contains("Your sessions"), "{engine}");
        browser.tell("open", format!("{origin}/hostile"));
        assert_eq!(browser.tell("run", framed("/hostile/too")), "hostile", "{engine}");
        assert_eq!(browser.tell("run", framed("/api/auth/sessions")), "refused", "{engine}");
    }
}

/// Returns a script that shows a page in a frame, and returns its text. A frame begins with an empty
/// document, and ends with the page, or with none that can be read.
fn framed(path: &str) -> String {
    format!(
        "new Promise((resolve) => {{
            const frame = document.createElement('iframe')
            frame.src = '{path}'
            document.body.append(frame)
            const look = () => {{
                let shown = null
                try {{ shown = frame.contentDocument }} catch (failure) {{}}
                if (!shown) return resolve('refused')
                const text = shown.body?.innerText.trim()
                text ? resolve(text) : setTimeout(look, 20)
            }}
            setTimeout(look, 20)
        }})"
    )
}

/// Runs the snippet of `docs/pages.md` on a page of the same origin.
#[tokio::test(flavor = "multi_thread")]
async fn a_front_end_can_do_the_same_with_json() {
    let page = std::fs::read_to_string(tools::root().join("docs/pages.md")).unwrap();
    let snippet = page.split("```js\n").nth(1).unwrap().split("```").next().unwrap();
    let house = House::start().await;
    let mut browser = Browser::start("chromium", true, false);
    house.open(&mut browser);
    browser.tell("open", house.page().replace("/api/auth/sessions", "/healthz"));
    let listed = browser.tell("run", format!("(async () => {{ {snippet}; return sessions }})()"));
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert_eq!(house.live().await, 1);
}

/// Takes the pictures of the documentation.
#[tokio::test(flavor = "multi_thread")]
async fn the_pictures_show_the_page() {
    let house = House::with_a_device_called("Office").await;
    for (name, dark, width) in [
        ("sessions-light", false, 800),
        ("sessions-dark", true, 800),
        ("sessions-narrow", false, NARROW),
    ] {
        // Playwright takes no picture of a page whose scripts are off.
        let mut browser = Browser::start("chromium", true, dark);
        house.open(&mut browser);
        browser.tell("resize", width);
        browser.picture(name);
    }
}
