//! A `User-Agent` in words, such as "Firefox on Linux".
//!
//! ADR 0008 explains why this is a table of our own.

/// The words for a browser or an application, and the mark in its `User-Agent`. The first mark that
/// is found decides: browsers name those that they descend from, too.
const BROWSERS: &[(&str, &str)] = &[
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex Browser"),
    ("UCBrowser/", "UC Browser"),
    ("MiuiBrowser/", "Mi Browser"),
    ("HuaweiBrowser/", "Huawei Browser"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("Electron/", "a desktop app"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("; wv)", "an Android app"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
    ("AppleWebKit/", "an app"),
    ("okhttp/", "an Android app"),
    ("Dart/", "an app"),
    ("CFNetwork/", "an Apple app"),
    ("curl/", "curl"),
    ("PostmanRuntime/", "Postman"),
    ("python-requests/", "a Python program"),
    ("Python/", "a Python program"),
    ("python-httpx/", "a Python program"),
    ("node", "a Node program"),
    ("Go-http-client/", "a Go program"),
];

/// The words for a system, and its mark. An Android device names Linux, too, and an iPad may name a
/// Mac.
const SYSTEMS: &[(&str, &str)] = &[
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("Darwin/", "an Apple device"),
    ("Linux", "Linux"),
    ("X11", "Unix"),
];

/// Returns the words for a device, or `None` if nothing in its `User-Agent` is known.
pub(crate) fn in_words(user_agent: &str) -> Option<String> {
    let find = |table: &[(&str, &'static str)]| {
        table.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, words)| *words)
    };
    match (find(BROWSERS), find(SYSTEMS)) {
        (Some(browser), Some(system)) => Some(format!("{} on {system}", capitalized(browser))),
        (Some(browser), None) => Some(capitalized(browser)),
        (None, Some(system)) => Some(capitalized(system)),
        (None, None) => None,
    }
}

fn capitalized(words: &str) -> String {
    match words.strip_prefix("a").filter(|rest| rest.starts_with([' ', 'n'])) {
        Some(rest) => format!("A{rest}"),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: &str = "Windows NT 10.0; Win64; x64";
    const IPHONE: &str = "iPhone; CPU iPhone OS 18_6 like Mac OS X";
    const PHONE: &str = "Linux; Android 10; K";

    #[track_caller]
    fn is_named(system: &str, rest: &str, words: &str) {
        let text = format!("Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) {rest}");
        assert_eq!(in_words(&text).as_deref(), Some(words), "{text}");
    }

    #[test]
    fn browsers_on_desks_are_named() {
        let mac = "Macintosh; Intel Mac OS X 10_15_7";
        let gecko = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        assert_eq!(in_words(gecko).as_deref(), Some("Firefox on Linux"));
        is_named(WINDOWS, "Chrome/149.0.0.0 Safari/537.36", "Chrome on Windows");
        is_named(WINDOWS, "Chrome/149.0.0.0 Safari/537.36 Edg/149.0.0.0", "Edge on Windows");
        is_named(WINDOWS, "Chrome/149.0.0.0 Safari/537.36 OPR/120.0.0.0", "Opera on Windows");
        is_named(mac, "Version/26.0 Safari/605.1.15", "Safari on Mac");
        is_named("X11; CrOS x86_64 1.0", "Chrome/149.0 Safari/537.36", "Chrome on ChromeOS");
    }

    #[test]
    fn browsers_on_phones_are_named() {
        is_named(IPHONE, "Version/18.6 Mobile/15E148 Safari/604.1", "Safari on iPhone");
        is_named(IPHONE, "CriOS/149.0 Mobile Safari/604.1", "Chrome on iPhone");
        is_named("iPad; CPU OS 18_6 like Mac OS X", "FxiOS/140.0 Mobile", "Firefox on iPad");
        is_named(PHONE, "Chrome/149.0.0.0 Mobile Safari/537.36", "Chrome on Android");
        let samsung = "SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36";
        is_named(PHONE, samsung, "Samsung Internet on Android");
    }

    #[test]
    fn programs_are_named() {
        let view = "Linux; Android 15; Pixel 9; wv";
        is_named(view, "Version/4.0 Chrome/149.0 Mobile", "An Android app on Android");
        let apple = "MyApp/7 CFNetwork/3826.600.41 Darwin/24.6.0";
        assert_eq!(in_words(apple).as_deref(), Some("An Apple app on an Apple device"));
        assert_eq!(in_words("okhttp/5.1.0").as_deref(), Some("An Android app"));
        assert_eq!(in_words("curl/8.14.1").as_deref(), Some("curl"));
    }

    #[test]
    fn what_is_not_known_is_not_named() {
        for unknown in ["", "Mozilla/5.0", "<script>alert(1)</script>", "é"] {
            assert_eq!(in_words(unknown), None, "{unknown}");
        }
    }
}
