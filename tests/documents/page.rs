//! A page of the documentation and its snippets.

use test_support::tools::root;

/// Languages whose snippets are commands or programs. Others show texts, headers or pictures.
const PROGRAMS: [&str; 7] = ["sh", "python", "js", "javascript", "ts", "tsx", "rust"];

/// A snippet of a page.
#[derive(Debug, Clone)]
pub(crate) struct Snippet {
    pub(crate) language: String,
    pub(crate) text: String,
}

impl Snippet {
    /// The first line, which names the snippet in the list.
    pub(crate) fn name(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }
}

/// The snippets of a page that are commands or programs, in their order.
pub(crate) fn snippets(page: &str) -> Vec<Snippet> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let mut found: Vec<Snippet> = Vec::new();
    let mut inside = false;
    let mut indent = 0;
    for line in text.lines() {
        let bare = line.trim_start();
        if let Some(language) = bare.strip_prefix("```") {
            inside = !inside;
            if inside {
                indent = line.len() - bare.len();
                found.push(Snippet { language: language.to_owned(), text: String::new() });
            }
        } else if inside {
            let last = found.last_mut().unwrap();
            last.text += line.get(indent..).unwrap_or_default();
            last.text.push('\n');
        }
    }
    assert!(!inside, "{page}: a snippet has no end");
    found.retain(|snippet| PROGRAMS.contains(&snippet.language.as_str()));
    found
}

/// The snippet of a page whose first line begins so.
pub(crate) fn snippet(page: &str, beginning: &str) -> String {
    let all = snippets(page);
    let found: Vec<_> = all.iter().filter(|one| one.text.starts_with(beginning)).collect();
    let [one] = found[..] else { panic!("{page} has {} snippets `{beginning}`", found.len()) };
    one.text.clone()
}
