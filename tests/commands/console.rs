//! `token-authority console`: who gets in, what the pages show and change, and what happens when the
//! authority does not answer.

use std::net::SocketAddr;

use http::Method;
use test_support::http::{Answer, Http};
use test_support::replica::{Replica, Setup};
use test_support::until::until;
use token_authority::transport::proto::v1::{
    ClientInfo, GetRolloutRequest, IssueTokensRequest, ListSessionsRequest,
};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A running console that no browser has opened yet.
struct Started {
    process: Replica,
    http: Http,
    /// The link without the host.
    link: String,
}

/// A console that a browser has opened.
struct Opened {
    process: Replica,
    http: Http,
    /// The folder of all pages.
    folder: String,
    cookie: String,
}

async fn start(setup: &Setup, authority: &Replica, more: &[&str]) -> Started {
    let url = format!("http://{}", authority.grpc());
    let process = setup.spawn(&[&["console", "--authority", &url], more].concat());
    let link = until(format_args!("the link: {process}"), async || {
        let out = process.out();
        // The last line is there only if the whole link is.
        let is_whole = out.contains("Ctrl+C");
        let link = out
            .split_whitespace()
            .find(|word| word.starts_with("http://127.0.0.1:") && word.contains("token="));
        link.filter(|_| is_whole).map(str::to_owned)
    })
    .await;
    let (address, path) = link.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let address: SocketAddr = address.parse().unwrap();
    Started { process, http: Http::new(address), link: format!("/{path}") }
}

impl Started {
    async fn open(self) -> Opened {
        let answer = self.http.get(&self.link).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let folder = answer.header("location").unwrap().to_owned();
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        Opened { process: self.process, http: self.http, folder, cookie }
    }
}

impl Opened {
    async fn send(
        &self,
        method: Method,
        page: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let path = format!("{}{page}", self.folder);
        let headers = [&[("cookie", self.cookie.as_str())], headers].concat();
        self.http.exchange(method, &path, &headers, body.to_owned()).await.unwrap()
    }

    async fn get(&self, page: &str) -> Answer {
        self.send(Method::GET, page, &[], "").await
    }

    async fn page(&self, page: &str) -> String {
        let answer = self.get(page).await;
        assert_eq!(answer.status, 200, "{page}: {answer:?}");
        answer.body
    }

    async fn post(&self, page: &str, body: &str) -> Answer {
        self.send(Method::POST, page, &[FORM], body).await
    }
}

async fn open(setup: &Setup, authority: &Replica) -> Opened {
    start(setup, authority, &[]).await.open().await
}

async fn log_in(authority: &Replica, user: &str, user_agent: &str) -> String {
    let client = ClientInfo { user_agent: user_agent.into(), ..Default::default() };
    let ask =
        IssueTokensRequest { user_id: user.into(), client: Some(client), ..Default::default() };
    authority.tokens().issue_tokens(ask).await.unwrap().into_inner().session_id
}

async fn live(authority: &Replica, user: &str) -> usize {
    let ask = ListSessionsRequest { user_id: user.into(), ..Default::default() };
    authority.sessions().list_sessions(ask).await.unwrap().into_inner().sessions.len()
}

async fn rollout(authority: &Replica) -> (i32, bool) {
    let now = authority.rollout().get_rollout(GetRolloutRequest {}).await.unwrap().into_inner();
    (now.percentage, now.jwt_enabled)
}

/// Every page, and every request that changes something.
const PAGES: [&str; 4] = ["", "sessions?user=alice", "rollout", "keys"];
const CHANGES: [&str; 3] = ["end-session", "end-user", "set-rollout"];

#[tokio::test(flavor = "multi_thread")]
async fn the_link_opens_the_console_once() {
    let setup = Setup::new();
    let authority = setup.start().await;
    let console = start(&setup, &authority, &[]).await;
    let (folder, token) = console.link.split_once("open?token=").unwrap();
    assert_eq!(token.len(), 43, "256 bits in base64url");
    for wrong in [format!("{folder}open"), format!("{folder}open?token={}", &token[1..])] {
        let answer = console.http.get(&wrong).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{wrong}");
    }
    let answer = console.http.get(&console.link).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some(folder)));
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", &format!("Path={folder}")] {
        assert!(cookie.contains(part), "{part}: {cookie}");
    }
    assert!(!cookie.contains(token), "the token is in no cookie");
    let again = console.http.get(&console.link).await;
    assert_eq!((again.status, again.header("set-cookie")), (403, None));
    assert!(again.body.contains("A link works once"), "{}", again.body);

    let opened = Opened {
        cookie: cookie.split(';').next().unwrap().to_owned(),
        folder: folder.to_owned(),
        http: console.http,
        process: console.process,
    };
    let answer = opened.get("").await;
    assert_eq!(answer.status, 200);
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_it() {
    let setup = Setup::new();
    let authority = setup.start().await;
    let mut console = open(&setup, &authority).await;
    console.process.signal("INT");
    assert!(console.process.ended().await.success());
    assert!(console.http.try_send(Method::GET, "/", &[]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_cookie_nothing_is_shown_or_changed() {
    let setup = Setup::new();
    let authority = setup.start().await;
    let id = log_in(&authority, "alice", "").await;
    let console = open(&setup, &authority).await;
    let address = authority.grpc().to_string();
    let wrong = console.cookie.clone() + "x";
    for cookie in ["", "tokenAuthorityConsole=", &wrong] {
        for page in PAGES {
            let path = format!("{}{page}", console.folder);
            let answer = console.http.send(Method::GET, &path, &[("cookie", cookie)]).await;
            assert_eq!(answer.status, 403, "{page}");
            assert!(!answer.body.contains("alice") && !answer.body.contains(&address));
        }
        for page in CHANGES {
            let path = format!("{}{page}", console.folder);
            let body = format!("session={id}&user=alice&seen=100&seen-jwt=on&percentage=1&jwt=on");
            let headers = [FORM, ("cookie", cookie)];
            let answer = console.http.exchange(Method::POST, &path, &headers, body).await.unwrap();
            assert_eq!(answer.status, 403, "{page}");
        }
    }
    assert_eq!((live(&authority, "alice").await, rollout(&authority).await), (1, (100, true)));
    assert_eq!(console.http.get("/").await.status, 403, "the folder cannot be found");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_proxy_or_origin_is_refused() {
    let setup = Setup::new();
    let authority = setup.start().await;
    let id = log_in(&authority, "alice", "").await;
    let console = start(&setup, &authority, &[]).await;
    let foreign = [
        ("host", "rebound.example"),
        ("host", "localhost.evil.example:80"),
        ("x-forwarded-for", "203.0.113.7"),
        ("origin", "https://evil.example"),
        ("origin", "http://localhost:3000"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ];
    for header in foreign {
        let answer = console.http.send(Method::GET, &console.link, &[header]).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{header:?}");
    }
    // None of these has used up the link.
    let console = console.open().await;
    for header in foreign {
        for page in PAGES {
            let answer = console.send(Method::GET, page, &[header], "").await;
            assert_eq!(answer.status, 403, "{page} {header:?}");
            assert!(!answer.body.contains("alice"), "{answer:?}");
        }
        let body = format!("session={id}&user=alice&seen=100&seen-jwt=on&percentage=1&jwt=on");
        for page in CHANGES {
            let answer = console.send(Method::POST, page, &[FORM, header], &body).await;
            assert_eq!(answer.status, 403, "{page} {header:?}");
        }
    }
    for page in CHANGES {
        assert_eq!(console.get(page).await.status, 405, "a GET changes nothing");
    }
    assert_eq!((live(&authority, "alice").await, rollout(&authority).await), (1, (100, true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_found_and_ended_and_ended_ones_are_shown() {
    let setup = Setup::new();
    let authority = setup.start().await;
    let hostile = "<script>alert(1)</script>\"'&";
    let ids = [
        log_in(&authority, "al&ice", hostile).await,
        log_in(&authority, "al&ice", "curl/8").await,
        log_in(&authority, "al&ice", "").await,
    ];
    let bystander = log_in(&authority, "bob", "").await;
    let console = open(&setup, &authority).await;
    let of_user = "sessions?user=al%26ice";
    let page = console.page(of_user).await;
    assert!(ids.iter().all(|id| page.contains(id)) && !page.contains(&bystander), "{page}");
    assert!(page.contains("logged in") && page.contains("Curl") || page.contains("curl"), "{page}");
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&#60;script&#62;alert(1)&#60;/script&#62;&#34;&#39;&#38;"), "{page}");

    let ended = console.post("end-session", &format!("session={}&user=al%26ice", ids[1])).await;
    let location = ended.header("location").unwrap();
    assert_eq!((ended.status, location), (303, format!("{of_user}&said=ended").as_str()));
    assert_eq!(live(&authority, "al&ice").await, 2);
    let page = console.page(location).await;
    assert!(page.contains("The session is over."), "{page}");
    assert!(page.contains("ended: one session was ended, by anonymous"), "{page}");

    // The session by its id, after its end.
    let page = console.page(&format!("sessions?session={}", ids[1])).await;
    assert!(page.contains("ended: one session was ended") && page.contains("logged in"), "{page}");
    assert!(!page.contains(&ids[0]) && page.contains("al&#38;ice"), "{page}");
    assert!(!page.contains("End this session"), "{page}");
    let page = console.page(&format!("sessions?session={}", ids[0])).await;
    assert!(page.contains("End this session"), "{page}");

    let all = console.post("end-user", "user=al%26ice").await;
    assert_eq!((all.status, live(&authority, "al&ice").await), (303, 0));
    assert_eq!(live(&authority, "bob").await, 1);
    let page = console.page(all.header("location").unwrap()).await;
    assert!(ids.iter().all(|id| page.contains(id)), "ended sessions are shown: {page}");
    assert!(page.contains("all sessions of the user were ended"), "{page}");
    assert!(!page.contains("End all sessions"), "{page}");

    assert!(console.page("sessions?user=nobody").await.contains("There is no live session"));
    let wrong = console.get("sessions?session=x").await;
    assert_eq!(wrong.status, 400, "{wrong:?}");
    assert!(wrong.body.contains("session_id"), "{}", wrong.body);
    assert_eq!(console.post("end-session", "").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roll_out_moves_only_after_the_second_question() {
    let setup = Setup::new();
    let authority = setup.start().await;
    log_in(&authority, "alice", "").await;
    let console = open(&setup, &authority).await;
    let page = console.page("rollout").await;
    assert!(page.contains("sessions: 1, users: 1"), "the census: {page}");
    assert!(page.contains("type=\"range\"") && !page.contains("set-rollout"), "{page}");

    let question = console.page("rollout?percentage=25&jwt=on").await;
    assert!(question.contains("100 %") && question.contains("25 %"), "{question}");
    assert!(question.contains("action=\"set-rollout\""), "{question}");
    assert_eq!(rollout(&authority).await, (100, true), "a question changes nothing");

    // Without the question, and with a roll-out that the operator did not see.
    for (body, status) in [
        ("percentage=25&jwt=on", 400),
        ("seen=100&seen-jwt=on&percentage=101&jwt=on", 400),
        ("seen=100&seen-jwt=on&percentage=25", 400),
        ("seen=10&seen-jwt=on&percentage=25&jwt=on", 409),
        ("seen=100&seen-jwt=off&percentage=25&jwt=on", 409),
    ] {
        let answer = console.post("set-rollout", body).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert_eq!(rollout(&authority).await, (100, true), "{body}");
    }
    let set = console.post("set-rollout", "seen=100&seen-jwt=on&percentage=25&jwt=off").await;
    assert_eq!((set.status, set.header("location")), (303, Some("rollout?said=set")));
    assert_eq!(rollout(&authority).await, (25, false));
    let page = console.page("rollout?said=set").await;
    assert!(page.contains("The roll-out was changed.") && page.contains("anonymous"), "{page}");
    let same = console.page("rollout?percentage=25&jwt=off").await;
    assert!(same.contains("as it is now") && !same.contains("set-rollout"), "{same}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_keys_are_shown() {
    let setup = Setup::new();
    let authority = setup.start().await;
    authority.ready().await;
    let console = open(&setup, &authority).await;
    let page = console.page("").await;
    for part in [
        env!("CARGO_PKG_VERSION"),
        "sqlite",
        "Complete as of",
        "Last pass",
        "100 %",
        &format!("http://{}", authority.grpc()),
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let page = console.page("keys").await;
    assert!(page.contains("HS256, active: signs new tokens"), "{page}");
    let secret = setup.secret();
    assert!(!page.contains(secret.trim()));
    assert_eq!(console.get("nothing").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_down_is_named_and_comes_back() {
    let setup = Setup::new();
    let serving = setup.clone().on_fixed_ports();
    let mut authority = serving.start().await;
    let console = open(&setup, &authority).await;
    assert_eq!(console.get("").await.status, 200);
    authority.kill();
    for page in PAGES {
        let answer = console.get(page).await;
        assert_eq!(answer.status, 502, "{page}: {answer:?}");
        assert!(answer.body.contains("cannot be reached"), "{page}: {}", answer.body);
    }
    let answer = console.post("end-user", "user=alice").await;
    assert_eq!(answer.status, 502, "{answer:?}");
    authority.start_again().await;
    until("the authority is back", async || (console.get("").await.status == 200).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_administrator_sees_anything_and_the_key_is_never_shown() {
    let setup = Setup::new().set("CALLERS_FILE", "callers.json");
    let add = |name: &str, role: &str| {
        let told = setup.succeed(&["callers", "add", name, "--role", role]);
        let key = told.split_whitespace().find(|word| word.starts_with("tak_")).unwrap().to_owned();
        std::fs::write(setup.path(name), &key).unwrap();
        (setup.path(name), key)
    };
    let ((admin, admin_key), (backend, key)) = (add("boss", "admin"), add("api", "verifier"));
    let authority = setup.start().await;
    let console = start(&setup, &authority, &["--api-key-file", &backend]).await.open().await;
    for page in PAGES {
        let answer = console.get(page).await;
        assert_eq!(answer.status, 403, "{page}");
        assert!(answer.body.contains("lacks the role admin"), "{page}: {}", answer.body);
        assert!(!answer.body.contains(&key));
    }
    let console = open(&setup, &authority).await;
    let answer = console.get("").await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("does not know this caller"), "{}", answer.body);

    let console = start(&setup, &authority, &["--api-key-file", &admin]).await.open().await;
    for page in PAGES {
        assert!(!console.page(page).await.contains(&admin_key));
    }
    let set = console.post("set-rollout", "seen=100&seen-jwt=on&percentage=25&jwt=on").await;
    assert_eq!(set.status, 303);
    assert!(console.page("rollout").await.contains("boss"), "the caller's name is recorded");
    let said = format!("{}{}", console.process.out(), console.process.log());
    assert!(!said.contains(&admin_key), "{said}");
}

#[test]
fn it_listens_on_loopback_alone() {
    let setup = Setup::new();
    for wrong in ["0.0.0.0:0", "192.0.2.1:7070", "[::]:0"] {
        let output = setup.run(&["console", "--listen", wrong]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains("loopback"), "{wrong}: {said}");
        assert!(output.stdout.is_empty());
    }
    let output = setup.run(&["console", "--authority", "http://192.0.2.1:50051"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("clear text"));
}
