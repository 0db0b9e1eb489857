//! `ListSessionEvents`: who did what to a session.

use http::Method;
use prost_types::Timestamp;
use test_support::replica::{Replica, Setup};
use test_support::until::until;
use token_authority::transport::proto::v1::list_session_events_request::Target;
use token_authority::transport::proto::v1::{
    EraseUserRequest, ListSessionEventsRequest, RevocationReason, RevokeSessionRequest,
    SessionEvent, SessionEventType, UpdateSessionsRequest, update_sessions_request,
};
use tonic::Status;

use crate::database::Database;
use crate::wire;

on_both! {
    the_history_of_a_theft_names_everything
    a_history_is_paged_and_its_request_is_checked
    every_way_to_end_a_session_names_who_asked
    events_older_than_the_setting_are_swept
}

async fn events(service: &Replica, target: Target) -> Vec<SessionEvent> {
    let ask = ListSessionEventsRequest { target: Some(target), ..Default::default() };
    service.sessions().list_session_events(ask).await.unwrap().into_inner().events
}

fn kinds(events: &[SessionEvent]) -> Vec<SessionEventType> {
    events.iter().map(SessionEvent::r#type).collect()
}

async fn the_history_of_a_theft_names_everything(_: Database, setup: Setup) {
    let service = setup.set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "0").start().await;
    let tokens = service.tokens();
    let stolen = wire::issue(&tokens, "alice").await;
    let ended = wire::issue(&tokens, "alice").await;
    let ask = UpdateSessionsRequest {
        target: Some(update_sessions_request::Target::UserId("alice".into())),
        scopes: vec!["read".into()],
        refresh_now: true,
        ..Default::default()
    };
    service.sessions().update_sessions(ask).await.unwrap();
    let next = wire::refresh(&tokens, &stolen.refresh_token).await.unwrap();
    wire::refresh(&tokens, &next.refresh_token).await.unwrap();
    assert!(wire::refresh(&tokens, &stolen.refresh_token).await.is_err());
    let ask = RevokeSessionRequest { session_id: ended.session_id.clone() };
    service.sessions().revoke_session(ask).await.unwrap();

    let told = events(&service, Target::SessionId(stolen.session_id.clone())).await;
    let expected = [
        SessionEventType::ReuseFound,
        SessionEventType::Refreshed,
        SessionEventType::Updated,
        SessionEventType::Issued,
    ];
    assert_eq!(kinds(&told), expected);
    assert!(told.iter().all(|event| event.user_id == "alice"));
    assert_eq!(told[0].reason(), RevocationReason::Reuse);
    let updated = &told[2];
    assert_eq!((&*updated.updated_fields, updated.refresh_now), (&["scopes".to_owned()][..], true));
    // Without a callers' file, everybody is the same caller.
    assert_eq!((&*told[0].actor, &*updated.actor), ("", "anonymous"));
    let moment = |event: &SessionEvent| {
        let Timestamp { seconds, nanos } = event.occurred_at.unwrap();
        (seconds, nanos)
    };
    assert!(told.is_sorted_by(|one, next| moment(one) >= moment(next)));

    let told = events(&service, Target::SessionId(ended.session_id.clone())).await;
    let expected = [SessionEventType::Revoked, SessionEventType::Updated, SessionEventType::Issued];
    assert_eq!(kinds(&told), expected);
    assert_eq!((told[0].reason(), &*told[0].actor), (RevocationReason::Admin, "anonymous"));
    assert_eq!(events(&service, Target::UserId("alice".into())).await.len(), 7);

    let ask = EraseUserRequest { user_id: "alice".into() };
    service.sessions().erase_user(ask).await.unwrap();
    assert_eq!(events(&service, Target::UserId("alice".into())).await, []);
    let left = events(&service, Target::SessionId(ended.session_id)).await;
    assert!(left.iter().all(|event| event.user_id.is_empty()));
}

async fn a_history_is_paged_and_its_request_is_checked(_: Database, setup: Setup) {
    let service = setup.start().await;
    let tokens = service.tokens();
    for _ in 0..5 {
        wire::issue(&tokens, "bob").await;
    }
    let target = || Some(Target::UserId("bob".into()));
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let ask = ListSessionEventsRequest { target: target(), page_size: 2, page_token };
        let page = service.sessions().list_session_events(ask).await.unwrap().into_inner();
        assert!(page.events.len() <= 2);
        all.extend(page.events);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(all, events(&service, Target::UserId("bob".into())).await);
    assert_eq!(all.len(), 5);

    let refused = async |ask: ListSessionEventsRequest| -> Vec<String> {
        let answer: Result<_, Status> = service.sessions().list_session_events(ask).await;
        wire::bad_fields(&answer.unwrap_err())
    };
    assert_eq!(refused(ListSessionEventsRequest::default()).await, ["session_id"]);
    for (target, field) in
        [(Target::SessionId("x".into()), "session_id"), (Target::UserId(String::new()), "user_id")]
    {
        let ask = ListSessionEventsRequest { target: Some(target), ..Default::default() };
        assert_eq!(refused(ask).await, [field]);
    }
    let ask = ListSessionEventsRequest { target: target(), page_size: -1, ..Default::default() };
    assert_eq!(refused(ask).await, ["page_size"]);
    // Not from here, of another list, too long, of no kind, and of a time that no database knows.
    for token in ["x", "AZNPsyl5fwCAAAAAAAAAAQ", "____________________________________________"] {
        let page_token = token.to_owned();
        let ask = ListSessionEventsRequest { target: target(), page_size: 1, page_token };
        assert_eq!(refused(ask).await, ["page_token"], "{token}");
    }
    let late = [&[0x7F; 8][..], &[0; 16], b"issued"].concat();
    let page_token =
        base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, late);
    let ask = ListSessionEventsRequest { target: target(), page_size: 1, page_token };
    assert_eq!(refused(ask).await, ["page_token"]);
}

/// Returns who ended a session. `None`: it was not revoked.
async fn ended_by(service: &Replica, session_id: &str) -> Option<String> {
    let told = events(service, Target::SessionId(session_id.to_owned())).await;
    let end = told.into_iter().find(|event| event.r#type() == SessionEventType::Revoked);
    end.map(|event| event.actor)
}

async fn every_way_to_end_a_session_names_who_asked(_: Database, setup: Setup) {
    let service = setup.start().await;
    let (tokens, http) = (service.tokens(), service.http());
    for (path, by) in [("/oauth2/revoke", "anonymous"), ("/api/auth/logout", "browser-adapter")] {
        let login = wire::issue(&tokens, "dora").await;
        let cookie = format!("refreshToken={}", login.refresh_token);
        let answer = if path == "/oauth2/revoke" {
            http.form(path, &[("token", &login.refresh_token)]).await
        } else {
            http.exchange(Method::POST, path, &[("cookie", &cookie)], "").await.unwrap()
        };
        assert!(answer.status < 300, "{path}: {answer:?}");
        assert_eq!(ended_by(&service, &login.session_id).await.as_deref(), Some(by), "{path}");
    }
    let login = wire::issue(&tokens, "dora").await;
    http.form("/oauth2/revoke", &[("token", &login.access_token)]).await;
    assert_eq!(ended_by(&service, &login.session_id).await.as_deref(), Some("anonymous"));

    // The user ends another session, and then all others, on the page.
    let (own, one, rest) = (
        wire::issue(&tokens, "dora").await,
        wire::issue(&tokens, "dora").await,
        wire::issue(&tokens, "dora").await,
    );
    let bearer = format!("Bearer {}", own.access_token);
    let headers = [("authorization", &*bearer), ("accept", "application/json")];
    for path in [
        format!("/api/auth/sessions/{}/revoke", one.session_id),
        "/api/auth/sessions/revoke-others".to_owned(),
    ] {
        let answer = http.exchange(Method::POST, &path, &headers, "").await.unwrap();
        assert_eq!(answer.status, 204, "{path}: {answer:?}");
    }
    for ended in [&one, &rest] {
        let by = ended_by(&service, &ended.session_id).await;
        assert_eq!(by.as_deref(), Some("browser-adapter"));
    }
    assert_eq!(ended_by(&service, &own.session_id).await, None);
}

async fn events_older_than_the_setting_are_swept(database: Database, setup: Setup) {
    let setup = setup.set("SESSION_EVENTS_DAYS", "1");
    let service = setup.start().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let login = wire::issue(&service.tokens(), "carol").await;
        wire::revoke(&service.tokens(), &login.refresh_token).await.unwrap();
        ids.push(login.session_id);
    }
    database.age_events(&ids[0]).await;
    drop(service);
    // The sweeper begins with a pass.
    let service = setup.start().await;
    let is_swept = async || ended_by(&service, &ids[0]).await.is_none().then_some(());
    until("the old event is swept", is_swept).await;
    assert!(ended_by(&service, &ids[1]).await.is_some());
}
